"""What a function in a Python file of the user's returns. Imported by the training process only: it runs the file."""

import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import RewardFailed
from pipeline.reward_config import PythonReward
from pipeline.rewards import ARGUMENTS, RewardFunction
from pipeline.rewards.reference import missing_column


def build(config: PythonReward) -> RewardFunction:
    """The user's function, after its file was run once.

    It is called with `prompts`, `completions` and the columns that it names, or all of them if it takes `**columns`.
    """
    path = Path(config.path).expanduser()
    function = _find(_load(path), config.function, path)
    takes_all, named, needed = _parameters(function, config.function, path)

    def python(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        for name in needed:
            if name not in columns:
                raise RewardFailed(f"{config.function} asks for {name!r}, and {missing_column(name, columns)}")
        given = {name: list(values) for name, values in columns.items() if takes_all or name in named}
        try:
            scores: list[float] = function(prompts=list(prompts), completions=list(completions), **given)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's code
            raise RewardFailed(f"{config.function} in {path} failed{_place(error, path)}: {_said(error)}") from error
        return scores

    return python


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise RewardFailed(f"there is no file {path}. Check the path; it is read on the machine that trains.")
    # The file's folder is not importable, and two files of the same name do not meet.
    name = f"lapidary_reward_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RewardFailed(f"{path} is no Python file. Its name must end in .py.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise RewardFailed(f"{path} has a syntax error in line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's code
        raise RewardFailed(f"{path} cannot be imported{_place(error, path)}: {_said(error)}") from error
    return module


def _find(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    function: Callable[..., Any] | None = vars(module).get(name)
    if callable(function):
        return function
    known = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
    defined = f"It defines: {', '.join(known)}." if known else "It defines no function."
    raise RewardFailed(f"{path} has no function {name!r}. {defined}")


def _parameters(function: Callable[..., Any], name: str, path: Path) -> tuple[bool, set[str], list[str]]:
    """Whether it takes every column, the columns that it names, and those that it cannot do without."""
    parameters = inspect.signature(function).parameters
    if missing := [given for given in ARGUMENTS if given not in parameters]:
        raise RewardFailed(
            f"{name} in {path} has no parameter {missing[0]!r}. Write def {name}(prompts, completions, **columns)."
        )
    columns = {key: value for key, value in parameters.items() if key not in ARGUMENTS}
    by_name = {
        key: value
        for key, value in columns.items()
        if value.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    takes_all = any(value.kind is inspect.Parameter.VAR_KEYWORD for value in columns.values())
    return takes_all, set(by_name), [key for key, value in by_name.items() if value.default is value.empty]


def _place(error: BaseException, path: Path) -> str:
    """Where in the user's file it happened."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}." if lines else f"{type(error).__name__}."
