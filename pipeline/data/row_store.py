"""RowStore: an imported data set's folder. Plain JSON lines that any tool reads, with an index for single rows."""

import hashlib
import json
import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.example import Row
from pipeline.data.mapping import Recognition
from pipeline.errors import DataProblem

SUMMARY_FILE = "dataset.json"
ROWS_FILE = "rows.jsonl"
UNUSABLE_FILE = "unusable.jsonl"
REPORT_FILE = "report.json"
FLAGS_FILE = "flags.jsonl"
IMAGES_FOLDER = "images"
_OFFSETS, _NUMBERS, _SPLITS = "rows.offsets", "rows.numbers", "rows.splits"
_BUFFER_BYTES = 1 << 20
_SHOWN_CHARACTERS = 2000
# orjson makes floats, and so other numbers, of integers beyond 64 bits.
_LONG_NUMBER = re.compile(rb"\d{19}")


class UnreadableRow(BaseModel):
    """A row of the source that is not a row: its number, why, and the beginning of its text."""

    row: int
    reason: str
    text: str = ""
    file: str = ""


class DatasetSummary(BaseModel):
    """`dataset.json`: what was imported. Written last, so that a folder that has it is complete."""

    model_config = ConfigDict(extra="forbid")
    name: str
    source: str = Field(description="Where the rows came from: a file name, a Hub id, an address.")
    files: list[str]
    rows: int
    unreadable_rows: int
    columns: list[str]
    splits: dict[str, int] = Field(description="Rows of each split of the source; `train` where it has none.")
    size_bytes: int
    checksum: str = Field(description="SHA-256 over the rows as stored; equal content has equal checksums.")
    recognition: Recognition | None = None


@dataclass(frozen=True)
class NumberedRow:
    """A row with its number in the source, from 1, and its split."""

    number: int
    split: str
    row: Row


@dataclass
class RowWriter:
    """Writes a data set's folder; a context manager. Nothing counts until `finish` has written the summary."""

    folder: Path
    columns: dict[str, None] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rows = (self.folder / ROWS_FILE).open("wb", buffering=_BUFFER_BYTES)
        self._unusable = (self.folder / UNUSABLE_FILE).open("wb")
        self._digest = hashlib.sha256()
        self._offsets, self._numbers, self._split_of = array("Q"), array("Q"), array("B")
        self._split_ids: dict[str, int] = {}
        self._position = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._unusable.close()

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def size_bytes(self) -> int:
        """Bytes of the rows written so far."""
        return self._position

    def add(self, number: int, row: Row, *, split: str = "train") -> None:
        """Append one row. Raises TypeError or ValueError for a value that JSON cannot hold."""
        try:
            line = encode_row(row) + b"\n"
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if split not in self._split_ids:
            if len(self._split_ids) == 256:  # noqa: PLR2004 - one byte a row
                raise DataProblem("The data set has more than 256 splits. Choose fewer of them.")
            self._split_ids[split] = len(self._split_ids)
        self._offsets.append(self._position)
        self._numbers.append(number)
        self._split_of.append(self._split_ids[split])
        self._rows.write(line)
        self._digest.update(line)
        self._position += len(line)
        self.splits[split] = self.splits.get(split, 0) + 1
        if not self.columns.keys() >= row.keys():
            self.columns.update(dict.fromkeys(row))

    def add_unreadable(self, unreadable: UnreadableRow) -> None:
        """Write down a row that cannot be stored."""
        shown = unreadable.model_copy(update={"text": unreadable.text[:_SHOWN_CHARACTERS]})
        self._unusable.write(json.dumps(shown.model_dump()).encode() + b"\n")
        self.unreadable += 1

    def finish(self, *, name: str, source: str, files: list[str], recognition: Recognition | None) -> DatasetSummary:
        """Write the index, then the summary.

        Raises:
            DataProblem: no row was added.
        """
        if not len(self):
            reason = f" All {self.unreadable:,} of its rows are unreadable." if self.unreadable else ""
            raise DataProblem(f"{name} has no rows.{reason} Give a file with at least one row.")
        for file in (self._rows, self._unusable):
            file.flush()
            os.fsync(file.fileno())
        for file_name, values in ((_OFFSETS, self._offsets), (_NUMBERS, self._numbers), (_SPLITS, self._split_of)):
            (self.folder / file_name).write_bytes(values.tobytes())
        summary = DatasetSummary(
            name=name,
            source=source,
            files=files,
            rows=len(self),
            unreadable_rows=self.unreadable,
            columns=list(self.columns),
            splits=self.splits,
            size_bytes=self._position,
            checksum=self._digest.hexdigest(),
            recognition=recognition,
        )
        write_document(self.folder / SUMMARY_FILE, summary)
        return summary


class RowStore:
    """Reads a data set's folder.

    Raises:
        DataProblem: there is no complete data set in the folder.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / SUMMARY_FILE).is_file():
            raise DataProblem(f"There is no complete data set in {folder}. Import it again.")
        self.folder = folder
        self.summary = DatasetSummary.model_validate_json((folder / SUMMARY_FILE).read_bytes())
        self._offsets = _read_array("Q", folder / _OFFSETS)
        self._numbers = _read_array("Q", folder / _NUMBERS)
        self._split_of = _read_array("B", folder / _SPLITS)
        self._split_names = list(self.summary.splits)

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a complete data set stands in the folder."""
        return (folder / SUMMARY_FILE).is_file()

    def __len__(self) -> int:
        return len(self._offsets)

    def rows(self, *, split: str | None = None) -> Iterator[NumberedRow]:
        """All rows in their order, or those of one split."""
        with (self.folder / ROWS_FILE).open("rb", buffering=_BUFFER_BYTES) as file:
            for index, line in enumerate(file):
                name = self._split_names[self._split_of[index]]
                if split is None or name == split:
                    yield NumberedRow(self._numbers[index], name, decode_row(line))

    def row(self, index: int) -> NumberedRow:
        """The row at `index`, from 0. Raises IndexError."""
        start = self._offsets[index]
        with (self.folder / ROWS_FILE).open("rb") as file:
            file.seek(start)
            line = file.readline()
        return NumberedRow(self._numbers[index], self._split_names[self._split_of[index]], decode_row(line))

    def row_sizes(self) -> list[int]:
        """Bytes of each row as it is stored."""
        ends = [*self._offsets[1:], (self.folder / ROWS_FILE).stat().st_size]
        return [end - start for start, end in zip(self._offsets, ends, strict=True)]

    def index_of(self, number: int) -> int:
        """The index of the row that has this number in the source. Raises ValueError."""
        return self._numbers.index(number)

    def unreadable(self, *, limit: int | None = None) -> list[UnreadableRow]:
        """Rows of the source that are none, in their order."""
        with (self.folder / UNUSABLE_FILE).open("rb") as file:
            return [UnreadableRow.model_validate_json(line) for line in islice(file, limit)]


def encode_row(row: Row) -> bytes:
    """One line of JSON, without the line feed. Integers of any size and text of any script survive.

    Raises:
        TypeError, ValueError: JSON cannot hold a value, for example half of a surrogate pair.
    """
    try:
        return orjson.dumps(row)
    except TypeError:
        # Integers beyond 64 bits.
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def decode_row(line: bytes) -> Row:
    """The row of one line."""
    row: Row = json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    return row


def write_document(path: Path, document: BaseModel) -> None:
    """Write a document so that a reader sees all of it or nothing."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(document.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _read_array(kind: str, path: Path) -> "array[Any]":
    values: array[Any] = array(kind)
    values.frombytes(path.read_bytes())
    return values
