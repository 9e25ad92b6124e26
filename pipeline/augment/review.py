"""ReviewFolder: generated rows and what was decided about them. Nothing enters a data set before it was accepted.

`generated.jsonl` has one line a request and is written by the process that generates; `decisions.jsonl` has one line a
decision, the last one counts. Each line is appended whole, so a crash costs at most the line being written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from pipeline.augment.line_file import append_lines, read_lines
from pipeline.augment.outcome import GeneratedRow, Outcome, RefusalKind, Refused, Status
from pipeline.augment.rows import row_key, row_problem
from pipeline.data.example import Row
from pipeline.errors import DataProblem

GENERATED_FILE = "generated.jsonl"
DECISIONS_FILE = "decisions.jsonl"
_NO_KEYS: Mapping[str, str] = MappingProxyType({})


class Decision(BaseModel):
    """A line of `decisions.jsonl`. `edited` is the row as it shall be; proposed takes a decision back."""

    row: str
    status: Status
    edited: Row | None = None
    at: datetime


class ReviewCounts(BaseModel):
    """What a run added, and what it did not, by reason."""

    proposed: int = 0
    accepted: int = 0
    edited: int = 0
    rejected: int = 0
    refused: dict[RefusalKind, int] = {}
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    requests_without_usage: int = 0

    @property
    def generated(self) -> int:
        """Rows made, whatever was decided about them."""
        return self.proposed + self.accepted + self.edited + self.rejected


@dataclass(frozen=True)
class ReviewPage:
    """Some rows, how many there are of the status asked for, and the counts of all."""

    rows: list[GeneratedRow]
    total: int
    counts: ReviewCounts


class ReviewFolder:
    """The folder of one augmentation; read and written by several processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generated, self._decisions = folder / GENERATED_FILE, folder / DECISIONS_FILE

    def add(self, outcome: Outcome) -> None:
        """Append the outcome of one request; one that cost money is on disk afterwards."""
        append_lines(self._generated, [outcome.model_dump_json()], is_durable=outcome.attempts > 0)

    def outcomes(self) -> list[Outcome]:
        """The last outcome of each request, in the order in which they were first asked."""
        outcomes = map(Outcome.model_validate_json, read_lines(self._generated))
        return list({outcome.request: outcome for outcome in outcomes}.values())

    def finished_requests(self) -> frozenset[str]:
        """Requests that need not be made again."""
        return frozenset(outcome.request for outcome in self.outcomes() if outcome.finished)

    def rows(self, *, status: Status | None = None) -> list[GeneratedRow]:
        """The generated rows in their order, edited ones as they were edited; all of them or those of one status."""
        return [row for row in self._decided_rows(self.outcomes()) if status is None or row.status == status]

    def accepted_rows(self, *, existing_keys: Mapping[str, str] = _NO_KEYS) -> Iterator[GeneratedRow | Refused]:
        """The rows to add, accepted and edited; a refusal instead of each that is an exact copy by now.

        `existing_keys` are the keys of the data set's rows with what each is called.
        """
        known = dict(existing_keys)
        for row in self.rows():
            if row.status not in ("accepted", "edited"):
                continue
            key = row_key(row.row)
            if key in known:
                yield Refused.because("exact_copy", f"exact copy of {known[key]}", text=row.id)
                continue
            known[key] = f"generated row {row.id}"
            yield row

    def decide(self, row_ids: Sequence[str], status: Status) -> None:
        """Accept or reject rows, or take decisions back (`proposed`).

        Raises:
            DataProblem: there is no such row, or `edited` was asked for without a row.
        """
        if status == "edited":
            raise DataProblem("An edited row needs its new text.")
        known = {row.id for row in self.rows()}
        for row_id in row_ids:
            if row_id not in known:
                raise DataProblem(f"There is no generated row {row_id}. Load the page again.")
        self._write(Decision(row=row_id, status=status, at=datetime.now(UTC)) for row_id in row_ids)

    def edit(self, row_id: str, edited: Row, *, existing_keys: Mapping[str, str] = _NO_KEYS) -> None:
        """Accept a row in other words.

        Raises:
            DataProblem: there is no such row, the new one is not usable, or is an exact copy.
        """
        rows = {row.id: row for row in self.rows()}
        if row_id not in rows:
            raise DataProblem(f"There is no generated row {row_id}. Load the page again.")
        row = rows[row_id]
        if edited.keys() != row.row.keys():
            raise DataProblem(f"The edited row must have the columns {', '.join(row.row)}; it has {', '.join(edited)}.")
        if problem := row_problem(edited):
            raise DataProblem(f"The edited row cannot be used: {problem}. Correct it, or reject the row.")
        key = row_key(edited)
        known = {row_key(other.row): f"generated row {other.id}" for other in rows.values() if other.id != row_id}
        known |= {row_key(before): str(row.made_from) for before in row.before} | dict(existing_keys)
        if key in known:
            raise DataProblem(f"The edited row is an exact copy of {known[key]}. Change it, or reject the row.")
        self._write([Decision(row=row_id, status="edited", edited=edited, at=datetime.now(UTC))])

    def keys(self) -> dict[str, str]:
        """The keys of all generated rows, with what each is called."""
        return {row_key(row.row): f"generated row {row.id}" for row in self.rows()}

    def counts(self) -> ReviewCounts:
        """What was made, decided, refused and used so far."""
        return self.page(limit=0).counts

    def page(self, *, status: Status | None = None, offset: int = 0, limit: int) -> ReviewPage:
        """Some of the rows of one status, or of all, without making the others, of which there may be many."""
        outcomes, decisions = self.outcomes(), self._last_decisions()
        statuses: Counter[Status] = Counter()
        shown: list[GeneratedRow] = []
        total = 0
        for outcome in outcomes:
            for position, row_id in enumerate(outcome.row_ids):
                decision = decisions.get(row_id)
                decided = "proposed" if decision is None else decision.status
                statuses[decided] += 1
                if status is None or decided == status:
                    if offset <= total < offset + limit:
                        shown.append(_decided(outcome.generated()[position], decision))
                    total += 1
        return ReviewPage(shown, total, _counts(outcomes, statuses))

    def _decided_rows(self, outcomes: Iterable[Outcome]) -> Iterator[GeneratedRow]:
        decisions = self._last_decisions()
        for outcome in outcomes:
            yield from (_decided(row, decisions.get(row.id)) for row in outcome.generated())

    def _last_decisions(self) -> dict[str, Decision]:
        lines = map(Decision.model_validate_json, read_lines(self._decisions))
        return {decision.row: decision for decision in lines}

    def _write(self, decisions: Iterable[Decision]) -> None:
        append_lines(self._decisions, [decision.model_dump_json() for decision in decisions], is_durable=True)


def _counts(outcomes: Sequence[Outcome], statuses: Mapping[Status, int]) -> ReviewCounts:
    return ReviewCounts(
        **{str(status): count for status, count in statuses.items()},
        refused=Counter(refusal.kind for outcome in outcomes for refusal in outcome.refused),
        requests=sum(outcome.attempts for outcome in outcomes),
        input_tokens=sum(outcome.input_tokens for outcome in outcomes),
        output_tokens=sum(outcome.output_tokens for outcome in outcomes),
        requests_without_usage=sum(outcome.attempts > 0 and not outcome.usage_reported for outcome in outcomes),
    )


def _decided(row: GeneratedRow, decision: Decision | None) -> GeneratedRow:
    if decision is None:
        return row
    changed = {} if decision.edited is None else {"row": decision.edited}
    return row.model_copy(update={"status": decision.status, **changed})
