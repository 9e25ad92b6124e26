"""Reads one JSON document: a list of rows, an object that holds such lists, or an object of columns.

Lists are read item by item, so that a document of any size takes the memory of one row.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from pipeline.data.example import Row
from pipeline.data.sources.json_rows import DECODER, as_record
from pipeline.data.sources.limits import ROW_LIMIT_BYTES
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.split_names import split_name
from pipeline.data.sources.text_encoding import bad_byte, open_text
from pipeline.errors import DataProblem

_CHUNK_CHARACTERS = 1 << 20
# Columns are only rows once all of them are read.
_COLUMNS_LIMIT_BYTES = 256 << 20
_TOKENS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_NUMBER = re.compile(r"\.|[eE][+-]?")
# More than a token may have: a character as two escapes has 12.
_EDGE = 32
_SPACE = re.compile(r"[ \t\r\n]*")


def read_json_document(path: Path, name: str) -> Iterator[Found]:
    """Rows of `[{…}, {…}]`, of `{"data": [{…}]}`, of `{"train": [{…}], "test": [{…}]}` with their splits, and of the
    columns `{"a": [1, 2], "b": [3, 4]}` or `{"a": {"0": 1, "1": 2}}`.

    Raises:
        DataProblem: the document is cut off, is not JSON, or is none of these.
    """
    with open_text(path, name) as file:
        text = _Text(file, name)
        match text.peek():
            case "[":
                yield from _items(text, split=None)
            case "{":
                yield from _members(text)
            case "":
                return
            case _:
                raise DataProblem(f"{name} is not JSON: it begins with {text.beginning()!r}. Export it again as JSON.")
        if text.peek():
            raise DataProblem(
                f"{name} has more after its end: {text.beginning()!r}. "
                "Write one list [{…}, {…}], or one object a line and call the file .jsonl."
            )


def _items(text: "_Text", *, split: str | None) -> Iterator[Found]:
    text.take("[")
    while text.peek() != "]":
        text.row += 1
        value, source = text.value(ROW_LIMIT_BYTES)
        reason = bad_byte(source)
        found = bad_text(reason, source) if reason else as_record(value, source)
        yield found._replace(split=split) if isinstance(found, Record) else found
        if text.peek() != "]":
            text.take(",")
    text.take("]")


def _members(text: "_Text") -> Iterator[Found]:
    """Rows of the lists in an object; the other members are only wanted where they are columns."""
    others: dict[str, Any] = {}
    streamed: str | None = None
    room = _COLUMNS_LIMIT_BYTES
    text.take("{")
    while text.peek() != "}":
        key, _ = text.value(ROW_LIMIT_BYTES)
        if not isinstance(key, str):
            text.fail("a member without a name in quotes")
        text.take(":")
        split = split_name(key)
        if text.begins_rows():
            if streamed is not None and (split is None or split_name(streamed) is None):
                text.refuse_lists(streamed, key)
            streamed = key
            yield from _items(text, split=split)
        else:
            others[key], source = text.value(room)
            room -= len(source)
            if reason := bad_byte(source):
                text.fail(f"{key!r} is {reason}")
        if text.peek() != "}":
            text.take(",")
    text.take("}")
    if streamed is None:
        for row in _rows_of_columns(others, text.name):
            yield Record(row)
    for key, value in others.items():
        if streamed is not None and isinstance(value, list) and value:
            text.refuse_lists(streamed, key)


def _rows_of_columns(columns: dict[str, Any], name: str) -> Iterator[Row]:
    values = list(columns.values())
    if values and all(isinstance(value, dict) and value for value in values) and len(set(map(tuple, values))) == 1:
        # pandas writes columns by row number, or rows by their index.
        if not all(key.isdigit() for key in values[0]):
            yield from ({"id": key, **row} for key, row in columns.items())
            return
        values = [list(value.values()) for value in values]
    if not values or not all(isinstance(value, list) for value in values):
        shown = ", ".join(map(repr, list(columns)[:5])) or "nothing"
        raise DataProblem(
            f"{name} holds one object with {shown}, not a list of rows. Write [{{…}}, {{…}}], one object for each row."
        )
    if len({len(value) for value in values}) > 1:
        counts = ", ".join(f"{key}: {len(value):,}" for key, value in list(zip(columns, values, strict=True))[:5])
        raise DataProblem(
            f"The columns of {name} have different numbers of values ({counts}). Give every row a value in each."
        )
    for cells in zip(*values, strict=True):
        yield dict(zip(columns, cells, strict=True))


class _Text:
    """The document's text from the place that has been read to; more is loaded as it is wanted."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._buffer = ""
        self._position = 0
        self.name = name
        self.row = 0

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            self._position = _SPACE.match(self._buffer, self._position).end()  # type: ignore[union-attr]
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._load(_CHUNK_CHARACTERS):
                return ""

    def take(self, character: str) -> None:
        """Step over `character`, which must come next."""
        seen = self.peek()
        if seen != character:
            self.fail(f"{character!r} is missing before {self.beginning()!r}" if seen else None)
        self._position += 1

    def value(self, limit: int) -> tuple[Any, str]:
        """The next value and its text, which may have `limit` characters."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                # What is not loaded yet can only be missed in an open text, or at the end.
                is_open = error.msg.startswith("Unterminated") or len(self._buffer) - error.pos < _EDGE
                if is_open and self._grow(limit):
                    continue
                is_cut_off = is_open and self._is_cut_off(error)
                self.fail(None if is_cut_off else f"{error.msg} before {self._buffer[error.pos : error.pos + 20]!r}")
            except RecursionError:
                self.fail("it is nested too deeply")
            except ValueError:
                self.fail("it has a number with thousands of digits")
            else:
                # A number at the end of what is loaded may go on: of 1.5e-7 all but 1 may be missed.
                if len(self._buffer) - end < _EDGE and self._grow(limit):
                    continue
                source = self._buffer[self._position : end]
                self._position = end
                return value, source

    def begins_rows(self) -> bool:
        """Whether a list of objects comes next."""
        if self.peek() != "[":
            return False
        while True:
            after = _SPACE.match(self._buffer, self._position + 1).end()  # type: ignore[union-attr]
            if after < len(self._buffer):
                return self._buffer[after] == "{"
            if not self._load(_CHUNK_CHARACTERS):
                return False

    def beginning(self) -> str:
        """The text that comes next, as far as a message has room for it."""
        self.peek()
        return self._buffer[self._position : self._position + 20]

    def fail(self, what: str | None) -> NoReturn:
        """Raise DataProblem; None tells that the document ends too early."""
        where = f" in row {self.row:,}" if self.row else ""
        if what is None:
            raise DataProblem(f"{self.name} is cut off{where}: it ends in the middle. Download or export it again.")
        raise DataProblem(f"{self.name} is not JSON{where}: {what}. Correct it there, or export it again.")

    def refuse_lists(self, first: str, second: str) -> NoReturn:
        """Raise DataProblem: no one knows which list holds the rows."""
        raise DataProblem(
            f"{self.name} holds several lists, {first!r} and {second!r}. Keep the one with the rows; "
            "lists of different splits are called train, validation and test."
        )

    def _is_cut_off(self, error: json.JSONDecodeError) -> bool:
        """Whether an error at the end of the document is that it ends there."""
        rest = self._buffer[error.pos :].strip()
        return (
            error.msg.startswith(("Unterminated", "Invalid \\u"))
            or any(token.startswith(rest) for token in _TOKENS)
            or _CUT_NUMBER.fullmatch(rest) is not None
        )

    def _grow(self, limit: int) -> bool:
        held = len(self._buffer) - self._position
        if held > limit:
            raise DataProblem(
                f"{self.name} has a value of more than {limit >> 20} MiB, or one that is never closed, after row "
                f"{max(0, self.row - 1):,}. Save the rows as JSON Lines: one object a line."
            )
        return self._load(max(_CHUNK_CHARACTERS, held))

    def _load(self, count: int) -> bool:
        more = self._file.read(count)
        if more:
            self._buffer = self._buffer[self._position :] + more
            self._position = 0
        return bool(more)
