"""Reads JSON Lines: one object a line. A line that is none is told and reading goes on."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.text_encoding import LongLine, not_utf8, open_utf8, read_lines

# NaN and the infinities are no JSON, yet much is written with them; they become null.
DECODER = json.JSONDecoder(parse_constant=lambda _: None)
# orjson makes floats, and so other numbers, of integers beyond 64 bits.
_LONG_NUMBER = re.compile(rb"\d{19}")
_TYPE_NAMES = {
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def read_json_lines(path: Path, name: str) -> Iterator[Found]:
    """Rows of a .jsonl or .ndjson file; blank lines are none.

    Raises:
        DataProblem: the file as a whole is not Unicode text.
    """
    with open_utf8(path, name) as file:
        for line in read_lines(file):
            if isinstance(line, LongLine):
                yield line.record()
            elif not line.isspace():
                yield parse_row(line)


def parse_row(line: bytes) -> Found:
    """The row that one line of JSON holds."""
    try:
        value = orjson.loads(line)
        if _LONG_NUMBER.search(line):
            value = DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return _parse_unusual_row(line)
    return Record(value) if type(value) is dict else as_record(value, line)


def as_record(value: Any, text: bytes | str) -> Found:
    """The value as a row where it is an object of sound text; `text` is what it was read from."""
    if not isinstance(value, dict):
        return bad_text(f"{_TYPE_NAMES[type(value)]}, not an object", text)
    escape = b"\\ud" if isinstance(text, bytes) else "\\ud"
    if escape in text.lower() and _has_half_a_character(value):  # type: ignore[operator]
        return bad_text("half of a character (a \\ud83d without its other half)", text)
    return Record(value)


def _parse_unusual_row(line: bytes) -> Found:
    """Parse what orjson does not take: NaN, halves of surrogate pairs, deep nesting; and say what is wrong."""
    if b"\0" in line:
        return bad_text("it has NUL bytes", line)
    try:
        text = line.decode().strip()
        return as_record(DECODER.decode(text), text)
    except UnicodeDecodeError as error:
        return bad_text(not_utf8(error), line)
    except json.JSONDecodeError as error:
        return bad_text(f"not JSON: {error.msg} at character {error.pos + 1:,}", line)
    except RecursionError:
        return bad_text("nested too deeply", line)
    except ValueError:
        return bad_text("a number with thousands of digits", line)


def _has_half_a_character(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def holds_lines(path: Path, name: str, *, named_lines: bool) -> bool:
    """Whether the file is JSON Lines rather than one document; `named_lines` is what its name says.

    Many a .json holds lines, and now and then a .jsonl holds one list.
    """
    with open_utf8(path, name) as file:
        lines = (line for line in read_lines(file) if isinstance(line, LongLine) or not line.isspace())
        first = next(lines, b"")
        beginning = first.beginning if isinstance(first, LongLine) else first
        is_list = beginning.lstrip().startswith(b"[")
        if isinstance(first, LongLine) or not _is_whole(first):
            return named_lines and not is_list
        return next(lines, None) is not None or (named_lines and not is_list)


def _is_whole(line: bytes) -> bool:
    try:
        DECODER.decode(line.decode(errors="replace").strip())
    except (ValueError, RecursionError):
        return False
    return True
