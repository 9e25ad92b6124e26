"""What the cells of a workbook mean: numbers that are shown as dates, and characters that are written as escapes."""

import re
from datetime import datetime, timedelta
from typing import Literal

NumberKind = Literal["date", "time", "duration"]

# ECMA-376 part 1, 18.8.30: formats that every workbook has without defining them.
_BUILT_IN: dict[str, NumberKind] = {
    **{str(number): "date" for number in (*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58)},
    **{str(number): "time" for number in (*range(18, 22), *range(32, 36), 45, 47, 55, 56)},
    "46": "duration",
}
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.')
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]")
_BRACKETS = re.compile(r"\[[^\]]*\]")
# ECMA-376 part 1, 22.9.2.19: a UTF-16 unit that XML cannot hold.
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")

# Day 0 in either system. The one from 1900 counts a 29 February 1900 that never was.
_START_1900, _START_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
_FIRST_RIGHT_DAY = 61
_MILLISECONDS_OF_A_DAY = 86_400_000


def number_kind(identity: str, code: str | None) -> NumberKind | None:
    """What a number format shows a number as; None where as a number. `code` is the format as defined, if it is."""
    if code is None:
        return _BUILT_IN.get(identity)
    shown = _LITERALS.sub("", code.split(";")[0]).lower()
    if _ELAPSED.search(shown):
        return "duration"
    letters = set(_BRACKETS.sub("", shown).replace("am/pm", "h"))
    if letters & set("dy") or ("m" in letters and not letters & set("hs")):
        return "date"
    return "time" if letters & set("hs") else None


def date_text(number: float, kind: NumberKind, *, counts_from_1904: bool) -> str | None:
    """ISO 8601 text of a count of days; None where it is no date. A duration is hours:minutes:seconds."""
    if kind == "duration":
        seconds = round(abs(number) * 86_400)
        sign = "-" if number < 0 else ""
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if number < 0:
        return None
    start = _START_1904 if counts_from_1904 else _START_1900
    is_shifted = not counts_from_1904 and number < _FIRST_RIGHT_DAY - 1
    try:
        # Excel keeps thousandths of seconds; what is finer comes from counting days in floating point.
        moment = start + timedelta(days=is_shifted, milliseconds=round(number * _MILLISECONDS_OF_A_DAY))
    except OverflowError:
        return None
    if kind == "time" and number < 1:
        return moment.time().isoformat()
    return moment.date().isoformat() if kind == "date" and moment.time() == datetime.min.time() else moment.isoformat()


def unescape(text: str) -> str:
    """The text with its escapes `_x000D_` as the characters that they stand for."""
    if "_x" not in text:
        return text
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    # Two escapes may be the halves of one character.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
