"""Reads the rows of an .xlsx workbook, one at a time.

A sheet is parsed as a stream: libraries that build the whole rectangle of cells take 16 GB for a sheet with two cells
far apart.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipeline.data.sources.limits import ROW_LIMIT, check_header
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.sheet import SheetRow, TooLong, read_sheet
from pipeline.data.sources.split_names import split_name
from pipeline.data.sources.workbook import Workbook, open_workbook


def read_spreadsheet(path: Path, name: str) -> Iterator[Found]:
    """Rows of the first sheet that has some, or of all that are named after splits, if those are several.

    The first row with a value is the header. Text stays as it is, whole numbers are integers, dates and times become
    ISO 8601 text, durations hours:minutes:seconds, and an empty cell is "".

    Raises:
        DataProblem: the workbook is damaged, unpacks to too much, or its header is unusable.
    """
    with open_workbook(path, name) as workbook:
        splits = {sheet: split_name(sheet) for sheet in workbook.sheets}
        if len(set(splits.values()) - {None}) > 1:
            for sheet, split in splits.items():
                if split is not None:
                    for found in _read_sheet(workbook, sheet):
                        yield found._replace(split=split) if isinstance(found, Record) else found
            return
        for sheet in workbook.sheets:
            rows = _read_sheet(workbook, sheet)
            first = next(rows, None)
            if first is not None:
                yield first
                yield from rows
                return


def _read_sheet(workbook: Workbook, sheet: str) -> Iterator[Found]:
    rows = (row for row in read_sheet(workbook, sheet) if row)
    header_row, first = next(rows, None), next(rows, None)
    if header_row is None or first is None:
        return
    header = _header(header_row, first, f"the sheet {sheet!r} of {workbook.name}")
    for row in chain((first,), rows):
        yield _found(row, header)


def _header(row: SheetRow, first: SheetRow, name: str) -> dict[int, str]:
    """Names of the columns by their places. One without a name counts where the first row has a value in it."""
    texts = {place: "" if isinstance(cell, TooLong) else str(cell) for place, cell in row.items()}
    last = max(texts)
    names = check_header([texts.get(place, "") for place in range(last + 1)], name)
    return {place: column for place, column in enumerate(names) if texts.get(place, "").strip() or place in first}


def _found(row: SheetRow, header: dict[int, str]) -> Found:
    if any(isinstance(cell, TooLong) for cell in row.values()):
        return bad_text(f"longer than {ROW_LIMIT}", str(row))
    nameless = row.keys() - header.keys()
    if nameless:
        return bad_text(f"a value in column {column_letters(min(nameless))}, which has no name", str(row))
    return Record({column: row.get(place, "") for place, column in header.items()})


def column_letters(place: int) -> str:
    """What a spreadsheet calls the column at `place`, from 0: A, …, Z, AA, …"""
    letters = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters
