"""What comes of an augmentation: rows that wait for a decision, and refusals with their reason."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.example import Row

Method = Literal["paraphrase", "synthesis", "documents", "typos", "case", "system_drop"]
Status = Literal["proposed", "accepted", "rejected", "edited"]
RefusalKind = Literal[
    "exact_copy",
    "empty",
    "missing",
    "surplus",
    "not_json",
    "cut_off",
    "wrong_shape",
    "changed_numbers",
    "no_evidence",
    "not_applicable",
    "nothing_to_alter",
    "needs_system_turn",
    "no_text",
    "request_failed",
]

# Enough to see what was refused, without a second copy of a long answer in the file.
_SHOWN_CHARACTERS = 500


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MadeFrom(_Record):
    """Where a row comes from: numbers of training rows, or a passage of a document by its characters from 0."""

    rows: tuple[int, ...] = ()
    document: str = ""
    pages: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        if self.document:
            pages = f", {_numbered('page', self.pages)}" if self.pages else ""
            return f"{self.document}{pages}"
        return _numbered("row", self.rows)


class Refused(_Record):
    """A row that was not made, or not taken. `reason` is a clause without a full stop."""

    kind: RefusalKind
    reason: str
    text: str = Field("", description="The beginning of what was refused.")

    @classmethod
    def because(cls, kind: RefusalKind, reason: str, *, text: object = "") -> "Refused":
        """A refusal that shows the beginning of `text`."""
        return cls(kind=kind, reason=reason, text=str(text)[:_SHOWN_CHARACTERS])


class GeneratedRow(_Record):
    """A new row, what it was made from, and what was decided about it."""

    id: str
    method: Method
    made_from: MadeFrom
    before: tuple[Row, ...]
    row: Row
    status: Status = "proposed"


class BeforeAfter(_Record):
    """One line of a preview: the rows or the passage before, and the row after, or why there is none."""

    made_from: MadeFrom
    before: tuple[Row, ...]
    after: Row | None = None
    refused: Refused | None = None


class Outcome(_Record):
    """All that came of one request, or of one row where nobody is asked.

    `attempts` counts the requests sent, `input_tokens` and `output_tokens` what they used; where the server does not
    report them they are estimated and `usage_reported` is false. An outcome that is not `finished` is worth another
    request later.
    """

    request: str
    method: Method
    made_from: MadeFrom
    before: tuple[Row, ...] = ()
    rows: tuple[Row, ...] = ()
    refused: tuple[Refused, ...] = ()
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usage_reported: bool = True
    finished: bool = True

    def generated(self) -> list[GeneratedRow]:
        """Its rows, each with an id of its own."""
        shared: dict[str, Any] = {"method": self.method, "made_from": self.made_from, "before": self.before}
        return [GeneratedRow(id=name, row=row, **shared) for name, row in zip(self.row_ids, self.rows, strict=True)]

    @property
    def row_ids(self) -> list[str]:
        """The ids of its rows."""
        return [f"{self.request}-{n}" for n in range(1, len(self.rows) + 1)]


def _numbered(word: str, numbers: tuple[int, ...]) -> str:
    if len(numbers) == 1:
        return f"{word} {numbers[0]}"
    return f"{word}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}" if numbers else ""
