"""Reads .csv and .tsv: a header, then records whose cells stay the texts that they are, line ends within them too."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

from pipeline.data.sources.dialect import find_dialect
from pipeline.data.sources.limits import ROW_LIMIT, ROW_LIMIT_BYTES, check_header
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.text_encoding import bad_byte, open_text
from pipeline.errors import DataProblem

_SAMPLE_CHARACTERS = 256 << 10
_PREFERRED = {"csv": ",", "tsv": "\t"}


def read_delimited(path: Path, name: str, *, kind: Literal["csv", "tsv"]) -> Iterator[Found]:
    """Rows of a table of text. Cells are never taken for numbers, and an empty cell is "".

    The delimiter is found in the content: a comma, a semicolon, a tab or a bar.

    Raises:
        DataProblem: the header is unusable, a quote is never closed, or a record is over the limit.
    """
    # Of the process, not of the reader: without it a cell of more than 128 KiB is an error.
    csv.field_size_limit(ROW_LIMIT_BYTES)
    with open_text(path, name) as file:
        sample = file.read(_SAMPLE_CHARACTERS)
        dialect = find_dialect(sample, preferred=_PREFERRED[kind], is_whole=len(sample) < _SAMPLE_CHARACTERS)
    with open_text(path, name) as file:
        lines = _Lines(file, name)
        reader = dialect.reader(lines)
        header: list[str] | None = None
        while True:
            lines.begin_record()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = _reason(error, lines)
            else:
                if not cells:
                    continue
                reason = bad_byte("".join(cells)) or ""
                if header is None:
                    if reason:
                        raise DataProblem(f"The header of {name} is {reason}. Save the file as UTF-8.")
                    header = check_header(cells, name)
                    continue
                if not reason and len(cells) == len(header):
                    yield Record(dict(zip(header, cells, strict=True)))
                    continue
                reason = reason or _ragged(len(cells), len(header), dialect.delimiter)
            if header is None:
                raise DataProblem(f"The header of {name} is not readable: {reason}. Write it on one line.")
            yield bad_text(reason, "".join(lines.record))


def _reason(error: csv.Error, lines: "_Lines") -> str:
    message = str(error)
    if message.startswith(("unexpected end", "field larger")):
        lines.refuse_open_quote()
    if "expected after" in message:
        return 'a quote within a quoted cell is not doubled (write "")'
    return message


def _ragged(count: int, expected: int, delimiter: str) -> str:
    cells = "1 cell" if count == 1 else f"{count:,} cells"
    more = f" (put quotes around a cell that holds {delimiter!r})" if count > expected else ""
    return f"{cells} where the header has {expected:,}{more}"


class _Lines:
    """The lines of the file, of which those of the record that is being read are kept."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._name = name
        self._read = 0
        self._first = 1
        self._size = 0
        self.record: list[str] = []

    def begin_record(self) -> None:
        """Forget the lines of the record before."""
        self.record.clear()
        self._size = 0
        self._first = self._read + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(ROW_LIMIT_BYTES)
        if not line:
            raise StopIteration
        self._read += 1
        self._size += len(line)
        if self._size >= ROW_LIMIT_BYTES:
            if len(line) >= ROW_LIMIT_BYTES:
                raise DataProblem(
                    f"Line {self._read:,} of {self._name} is longer than {ROW_LIMIT}. "
                    "Check that the file has line ends, and shorten that row or take it out."
                )
            self.refuse_open_quote()
        self.record.append(line)
        return line

    def refuse_open_quote(self) -> None:
        """Raise DataProblem: everything after the quote would be one cell."""
        raise DataProblem(
            f"{self._name} has a quote in the record at line {self._first:,} that is never closed. "
            "Close it there, or download the file again if it is cut off."
        )
