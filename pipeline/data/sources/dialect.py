"""Finds out how a table of text is written: what stands between its cells, and whether quotes enclose them."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_DELIMITERS = (",", ";", "\t", "|")
# The unit separator stands in no text that people write.
_NO_DELIMITER = "\x1f"
_SAMPLE_ROWS = 200


class Dialect(NamedTuple):
    """The character between cells, and whether a quote at the beginning of a cell encloses it."""

    delimiter: str
    is_quoted: bool = True

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """A reader of records that reports misplaced quotes with csv.Error, and goes on."""
        if self.is_quoted:
            return csv.reader(lines, delimiter=self.delimiter, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)


class _Fit(NamedTuple):
    """How well a dialect explains a sample; the greatest is the best."""

    share: float
    has_tidy_header: bool


def find_dialect(sample: str, *, preferred: str, is_whole: bool) -> Dialect:
    """The dialect in which the most rows have as many cells as the header, which has several.

    Commas, semicolons and bars within texts are so told from those between cells: they are not in the header, or the
    rows differ in how many they have. `preferred` is the delimiter that the file's name promises; it wins a tie. The
    last record of a sample that is not the whole file may be cut off and does not count.
    """
    delimiters = (preferred, *(other for other in _DELIMITERS if other != preferred))
    # Tab-separated text often has no quoting, so that a quote may begin a cell.
    candidates = [Dialect(delimiter) for delimiter in delimiters] + [Dialect("\t", is_quoted=False)]
    best, best_fit = candidates[0], _Fit(0, False)
    for candidate in candidates:
        fit = _fit(candidate, sample, is_whole=is_whole)
        if fit is not None and fit > best_fit:
            best, best_fit = candidate, fit
    if best_fit.share == 0 and _is_unquoted_column(sample):
        return Dialect(_NO_DELIMITER, is_quoted=False)
    return best


def _is_unquoted_column(sample: str) -> bool:
    """Whether the header has one name, and most rows are texts with commas that no quotes enclose."""
    header, *rows = _records(Dialect(","), sample) or [None]
    whole = sum(row is not None and len(row) == 1 for row in rows)
    return header is not None and len(header) == 1 and whole < len(rows) / 2


def _fit(dialect: Dialect, sample: str, *, is_whole: bool) -> _Fit | None:
    records = _records(dialect, sample)
    if not is_whole:
        records = records[:-1] or records
    header, rows = records[0] if records else None, records[1:]
    if header is None or len(header) < 2:  # noqa: PLR2004 - one column has nothing between its cells
        return None
    share = sum(row is not None and len(row) == len(header) for row in rows) / len(rows) if rows else 1
    return _Fit(share, not any(cell.startswith(" ") for cell in header))


def _records(dialect: Dialect, sample: str) -> list[list[str] | None]:
    """The first records of the sample; None for one that is not well formed."""
    reader = dialect.reader(io.StringIO(sample, newline=""))
    records: list[list[str] | None] = []
    while len(records) < _SAMPLE_ROWS:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            records.append(None)
        else:
            if cells:
                records.append(cells)
    return records
