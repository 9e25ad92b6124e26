"""One cell of a row: found by the name of its column, and read as text, as a label, or as JSON written as text."""

import ast
import json
import warnings
from typing import Any, Final

import orjson

from pipeline.data.example import Row, UnusableRow

GOOD_WORDS: Final = frozenset(
    ("true", "1", "yes", "y", "good", "desirable", "chosen", "positive", "liked", "thumbs_up", "up", "+1")
)
BAD_WORDS: Final = frozenset(
    ("false", "0", "no", "n", "bad", "undesirable", "rejected", "negative", "disliked", "thumbs_down", "down", "-1")
)
# Python's parser needs about a hundred times the memory of what it reads.
_LONGEST_PYTHON_TEXT = 1_000_000
_KIND_NAMES = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def find_cell(row: Row, column: str, *, json_text: bool = False) -> Any:
    """The value of a column; `a.b` is the field b of the object in column a, `a.0` the first item of a list.

    None where there is none. With `json_text`, text on the way is decoded first.
    """
    if column in row:
        value = row[column]
        return _decoded(value) if json_text else value
    value = row
    for key in column.split("."):
        if json_text:
            value = _decoded(value)
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def cell_text(value: Any, *, what: str, takes_first: bool = False) -> str:
    """The text of a value, untouched; numbers, true and false as JSON writes them.

    Of several texts the first is taken if `takes_first`, as data sets of questions list every accepted answer.

    Raises:
        UnusableRow: the value is missing, blank, or no text.
    """
    match value:
        case str():
            text = value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            raise UnusableRow(f"{what} is missing")
        case {"parts": list(parts)}:
            text = "".join(cell_text(part, what=what) for part in parts)
        case {"text": inner} | {"content": inner} if not _says_more(value):
            return cell_text(inner, what=what, takes_first=takes_first)
        case [only]:
            return cell_text(only, what=what)
        case [first, *_] if takes_first:
            return cell_text(first, what=what)
        case []:
            raise UnusableRow(f"{what} is empty")
        case _:
            raise UnusableRow(f"{what} is {kind_name(value)}, not text")
    if not text or text.isspace():
        raise UnusableRow(f"{what} is empty")
    return text


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, an empty list or object, or text without a visible character."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and value.isspace())


def read_label(value: Any, *, what: str) -> bool:
    """Whether a label says good. Understood are true and false, 1 and 0, and the usual words.

    Raises:
        UnusableRow: it says neither.
    """
    if value is None:
        raise UnusableRow(f"{what} is missing")
    word = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if word in GOOD_WORDS:
        return True
    if word in BAD_WORDS:
        return False
    raise UnusableRow(f"{what} is {shorten(word)!r}, which says neither good nor bad")


def decode_text(text: str) -> Any:
    """The list or object that a text spells out as JSON, or as Python writes it; None where it spells none."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(text) > _LONGEST_PYTHON_TEXT:
            return None
    # Data frames write lists into CSV files the way Python shows them.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (list, dict)) else None


def write_json(value: Any) -> str:
    """A list or object as JSON text, its letters of any script as they are."""
    return json.dumps(value, ensure_ascii=False)


def kind_name(value: Any) -> str:
    """What a value is, in a user's words."""
    return _KIND_NAMES.get(type(value), "text" if isinstance(value, str) else type(value).__name__)


def shorten(text: str, *, limit: int = 40) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"


def _says_more(value: dict[str, Any]) -> bool:
    """Whether an object holds text beside its content, which would be lost."""
    return any(isinstance(item, str) for key, item in value.items() if key not in ("text", "content", "role", "type"))


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    decoded = decode_text(value)
    return value if decoded is None else decoded
