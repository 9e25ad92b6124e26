"""Which architectures the installed transformers knows, read from its source: importing it would take seconds."""

import ast
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_TYPES = "CONFIG_MAPPING_NAMES"
_TEXT_MODELS = ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES")
_SCORING_MODELS = ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",)
# CPython 3.11 counts its parser's depth for all threads together: two that parse at once may raise SystemError.
_PARSING = threading.Lock()


def known_model_types() -> frozenset[str]:
    """Values of `model_type` that transformers has a class for; empty where its tables cannot be read."""
    files = ("auto_mappings.py", "configuration_auto.py")
    return frozenset(model_type for file in files for model_type, _ in _entries(file, (_TYPES,)))


def text_architectures(*, scores: bool = False) -> frozenset[str]:
    """Names of the classes that write text, as config.json has them; with `scores` also of those that score it.
    Empty where transformers' tables cannot be read."""
    found: set[str] = set()
    for _, names in _entries("modeling_auto.py", (*_TEXT_MODELS, *(_SCORING_MODELS if scores else ()))):
        found.update((names,) if isinstance(names, str) else names)
    return frozenset(found)


def _entries(file: str, tables: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        return ()
    return _read(Path(spec.submodule_search_locations[0]) / "models" / "auto" / file, tables)


@cache
def _read(file: Path, tables: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    """The entries of the dictionaries of these names: of their literals, and of those that they are updated with."""
    try:
        text = file.read_text(encoding="utf-8")
        with _PARSING:
            statements = ast.parse(text).body
    except (OSError, SyntaxError):
        return ()
    calls = [call for statement in statements if (call := _table(statement, tables)) is not None]
    literals = [value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    # What is no literal is the table itself, which is read where it is written down.
    known = [value for value in literals if isinstance(value, ast.List | ast.Dict)]
    try:
        return tuple(entry for value in known for entry in dict(ast.literal_eval(value)).items())
    except ValueError:
        # Another version may compute some of them.
        return ()


def _table(statement: ast.stmt, tables: tuple[str, ...]) -> ast.Call | None:
    """The call that makes or updates one of the tables."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if name in tables:
            return call
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update")) as call):
            return call if name in tables else None
        case _:
            return None
