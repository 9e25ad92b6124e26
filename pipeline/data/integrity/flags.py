"""Flags: writes down every row that has a problem, and counts them, so that nothing is left out in silence."""

from array import array
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.data.integrity.catalogue import ERROR_SHARE, LEAVES_OUT, ROW_PROBLEMS
from pipeline.data.integrity.report import FlaggedRow, IntegrityFinding

LISTED_ROWS = 20


class Flags:
    """Takes flagged rows in any order; a context manager. The file appears when all have been written."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._partial = None if path is None else path.with_name(path.name + ".partial")
        self._file = None if self._partial is None else self._partial.open("w", encoding="utf-8", buffering=1 << 20)
        self._rows: dict[str, array[int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None or self._partial is None or self.path is None:
            return
        self._file.close()
        if error is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink()

    def add(self, code: str, row: int, reason: str, *, of: int | None = None) -> None:
        """Flag a row; a row may have one problem several times and counts once when its flags come in a row."""
        numbers = self._rows.setdefault(code, array("Q"))
        if not numbers or numbers[-1] != row:
            numbers.append(row)
        if self._file is not None:
            self._file.write(FlaggedRow(row=row, code=code, reason=reason, of=of).model_dump_json() + "\n")

    def count(self, code: str) -> int:
        """Rows that have the problem."""
        return len(self._rows.get(code, ()))

    def findings(self, total: int, *, details: dict[str, str]) -> list[IntegrityFinding]:
        """One finding for each problem that a row has; `details` are further sentences by code."""
        return [self._finding(code, total, details.get(code, "")) for code in ROW_PROBLEMS if code in self._rows]

    def _finding(self, code: str, total: int, detail: str) -> IntegrityFinding:
        problem, numbers = ROW_PROBLEMS[code], self._rows[code]
        share = min(1.0, len(numbers) / total) if total else 0.0
        sentences = [f"{problem.what}: {describe_count(len(numbers), total)}.", detail, problem.advice]
        return IntegrityFinding(
            code=code,
            severity="error" if code in LEAVES_OUT and share >= ERROR_SHARE else problem.severity,
            message=" ".join(sentence for sentence in sentences if sentence),
            count=len(numbers),
            share=share,
            rows=sorted(numbers)[:LISTED_ROWS],
        )


def describe_count(count: int, total: int) -> str:
    """A number of rows with its share of all, as in `12 rows (0.4 %)`."""
    rows = "1 row" if count == 1 else f"{count:,} rows"
    if not total:
        return rows
    share = 100 * count / total
    return f"{rows} ({'under 0.1' if share < 0.1 else f'{share:.1f}'.removesuffix('.0')} %)"
