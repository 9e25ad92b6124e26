"""Streams the rows of one sheet of a workbook: the values that are there, by their places."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.data.sources.limits import ROW_LIMIT_BYTES
from pipeline.data.sources.sheet_values import date_text, unescape
from pipeline.data.sources.workbook import Attributes, Damaged, Workbook

# The last column of Excel is XFD.
_MOST_PLACES = 16_384
_REFERENCE = re.compile(r"([A-Za-z]{1,3})[0-9]+")
_INTEGER = re.compile(r"-?[0-9]{1,15}")


class TooLong(NamedTuple):
    """Stands for a cell over the limit: the beginning of its text."""

    beginning: str


Cell = str | int | float | bool | TooLong
SheetRow = dict[int, Cell]


def read_sheet(workbook: Workbook, sheet: str) -> Iterator[SheetRow]:
    """The cells of each row that have a value, by their columns from 0. Rows without any come as empty ones.

    Raises:
        Damaged: the sheet breaks the format.
        DataProblem: the workbook unpacks to too much.
    """
    rows = _Rows(workbook)
    for _ in workbook.parse(workbook.sheets[sheet], start=rows.start, end=rows.end, text=rows.add):
        yield from rows.whole
        rows.whole.clear()


class _Rows:
    """Gathers rows from the events of the parser."""

    def __init__(self, workbook: Workbook) -> None:
        self._workbook = workbook
        self._row: SheetRow = {}
        self._row_size = 0
        self._place = -1
        self._type = "n"
        self._style = 0
        self._runs: list[str] = []
        self._is_open = self._is_phonetic = False
        self.whole: list[SheetRow] = []

    def start(self, tag: str, attributes: Attributes) -> None:
        match tag:
            case "c":
                self._place = self._place + 1 if (at := attributes.get("r")) is None else _place(at)
                if self._place >= _MOST_PLACES:
                    raise Damaged("a cell stands behind the last column")
                self._type = attributes.get("t", "n")
                style = attributes.get("s", "0")
                self._style = int(style) if style.isdecimal() else 0
                self._runs.clear()
            case "v":
                self._is_open = True
            case "t":
                self._is_open = not self._is_phonetic
            case "rPh":
                self._is_phonetic = True
            case "row":
                self._row, self._row_size, self._place = {}, 0, -1

    def add(self, text: str) -> None:
        if self._is_open:
            self._row_size += len(text)
            if self._row_size <= ROW_LIMIT_BYTES:
                self._runs.append(text)

    def end(self, tag: str) -> None:
        match tag:
            case "v" | "t":
                self._is_open = False
            case "rPh":
                self._is_phonetic = False
            case "c" if self._runs:
                value = self._value("".join(self._runs))
                if value != "":
                    self._row[self._place] = value
            case "row":
                self._workbook.cells.add(self._row_size)
                self.whole.append(self._row)

    def _value(self, text: str) -> Cell:
        if self._row_size > ROW_LIMIT_BYTES:
            return TooLong(text[:2000])
        match self._type:
            case "s":
                value = self._shared(text)
                self._row_size += len(value)
                return value
            case "inlineStr" | "str":
                return unescape(text)
            case "b":
                return text.strip() == "1"
            case "n":
                return self._number(text.strip())
            case _:
                # Errors such as #N/A, and dates that are written as ISO 8601 already.
                return text

    def _shared(self, text: str) -> str:
        index = int(text) if text.strip().isdecimal() else -1
        if not 0 <= index < len(self._workbook.texts):
            raise Damaged(f"a cell has the shared text {text[:20]!r}, which does not exist")
        return self._workbook.texts[index]

    def _number(self, text: str) -> Cell:
        kinds = self._workbook.number_kinds
        kind = kinds[self._style] if self._style < len(kinds) else None
        if kind is None and _INTEGER.fullmatch(text):
            return int(text)
        try:
            number = float(text)
        except ValueError as error:
            raise Damaged(f"a cell has the number {text[:20]!r}") from error
        if kind is not None:
            shown = date_text(number, kind, counts_from_1904=self._workbook.counts_from_1904)
            if shown is not None:
                return shown
        return number


def _place(reference: str) -> int:
    """The column of a reference such as AB12, from 0."""
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise Damaged(f"a cell stands at {reference[:20]!r}")
    place = 0
    for letter in found[1].upper():
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1
