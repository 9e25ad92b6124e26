"""Reads the rows of a .jsonl, .json or .csv file, one at a time, with their numbers."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import DataProblem

Row = dict[str, Any]
SUPPORTED_SUFFIXES = (".jsonl", ".json", ".csv")

# Python's csv module refuses fields over 128 KiB by default; a long conversation in one cell is legitimate.
_CSV_FIELD_LIMIT_BYTES = 16 << 20


def read_rows(path: Path, *, name: str | None = None) -> Iterator[tuple[int, Row]]:
    """Rows of the file with their numbers from 1: lines of a .jsonl, items of a .json list, records of a .csv.

    `name` is what messages call the file, and gives its type, where the path is a temporary one.

    Raises:
        DataProblem: the file is missing, empty, of another type, or a row cannot be parsed (the number is named).
    """
    if not path.is_file():
        raise DataProblem(f"There is no file at {path}. Check the path, or upload the file again.")
    name = path.name if name is None else name
    suffix = Path(name).suffix.lower()
    if suffix not in SUPPORTED_SUFFIXES:
        kind = f"a {suffix} file" if suffix else "a file without an ending"
        raise DataProblem(f"{name} is {kind}. Give one of {', '.join(SUPPORTED_SUFFIXES)}.")
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv}
    number = 0
    try:
        for number, row in readers[suffix](path, name):  # noqa: B007 - the last number tells an empty file
            yield number, row
    except UnicodeDecodeError as error:
        raise DataProblem(
            f"{name} is not UTF-8 text (byte {error.object[error.start]:#04x}). Save it again as UTF-8."
        ) from error
    if number == 0:
        raise DataProblem(f"{name} has no rows. Give a file with at least one row.")


def _read_jsonl(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _as_row(number, _parse_json(line, where=f"Row {number} of {name}"), name)


def _read_json(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return
    data = _parse_json(text, where=name)
    if not isinstance(data, list):
        raise DataProblem(f"{name} holds one {type(data).__name__}. It must hold a list of rows: [{{…}}, {{…}}].")
    for number, item in enumerate(data, start=1):
        yield number, _as_row(number, item, name)


def _read_csv(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(_CSV_FIELD_LIMIT_BYTES)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for number, row in enumerate(reader, start=1):
                if None in row:
                    raise DataProblem(
                        f"Row {number} of {name} has more cells than the header. "
                        "Put quotes around cells that hold commas."
                    )
                yield number, dict(row)
        except csv.Error as error:
            raise DataProblem(f"{name} is not a readable CSV near line {reader.line_num}: {error}.") from error


def _parse_json(text: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataProblem(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. Correct it or take it out."
        ) from error
    except RecursionError as error:
        raise DataProblem(f"{where} is nested too deeply to be read.") from error


def _as_row(number: int, value: Any, name: str) -> Row:
    if not isinstance(value, dict):
        raise DataProblem(
            f"Row {number} of {name} is a {type(value).__name__}, not an object. "
            'Write it as {"prompt": …, "completion": …}.'
        )
    return value
