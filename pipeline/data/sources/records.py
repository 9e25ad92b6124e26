"""What a reader finds in a file: a row, or something in a row's place that is none."""

import re
from typing import NamedTuple

from pipeline.data.example import Row


class Record(NamedTuple):
    """A row, and its split where the file itself names one (a member of a JSON object, a sheet of a workbook)."""

    row: Row
    split: str | None = None


class BadRecord(NamedTuple):
    """What stands in a row's place: the reason, without a full stop, and the beginning of its text."""

    reason: str
    text: str


Found = Record | BadRecord

# Enough to find the row by eye; the row store shows no more.
SHOWN_CHARACTERS = 2000
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def bad_text(reason: str, text: bytes | str) -> BadRecord:
    """A bad record that shows the beginning of `text`, with � for what is not UTF-8."""
    if isinstance(text, bytes):
        text = text[: 4 * SHOWN_CHARACTERS].decode("utf-8", errors="replace")
    else:
        text = _HALF_CHARACTER.sub("�", text[:SHOWN_CHARACTERS])
    return BadRecord(reason, text[:SHOWN_CHARACTERS].rstrip("\r\n"))
