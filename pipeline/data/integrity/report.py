"""IntegrityReport: what a check of every row of a data set found. Kept with the data set as `report.json`."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.integrity.catalogue import SEVERITIES, TOKEN_CODES, Severity
from pipeline.data.integrity.lengths import LengthHistogram

# Stands for the language of a text that is too short to tell, or is code or numbers.
UNDETERMINED = "und"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IntegrityFinding(_Document):
    """One kind of problem, how many rows have it, and the first of them. A problem of the whole set lists no rows."""

    code: str
    severity: Severity
    message: str
    count: int = Field(ge=0, description="Rows that have it; 0 for a property of the whole set.")
    share: float = Field(ge=0, le=1, description="The same as a share of all rows.")
    rows: list[int] = Field(default_factory=list, description="Numbers of the first rows that have it.")


class FlaggedRow(_Document):
    """One line of `flags.jsonl`: a row, what it has, and for a repetition the earlier row that it repeats."""

    row: int
    code: str
    reason: str
    of: int | None = None


class Spread(_Document):
    """Smallest, mean and largest of a number that every row has, and the sum over all rows."""

    least: int = 0
    mean: float = 0.0
    most: int = 0
    total: int = 0


class Languages(_Document):
    """Shares of the languages of a sample of rows, by ISO 639 code; `und` where a text is too short to tell."""

    sampled_rows: int
    shares: dict[str, float]


class IntegrityStatistics(_Document):
    """What the usable rows are made of."""

    splits: dict[str, int] = Field(description="Rows of each split, usable or not.")
    turns: Spread
    characters: Spread
    roles: dict[str, int] = Field(description="Turns of each role.")
    images: int = Field(description="Images shown in all turns.")
    tool_calls: int
    labels: dict[str, int] = Field(description="Rows by label, where the format has one.")
    unusable_reasons: dict[str, int] = Field(description="Rows that cannot be used, by the commonest reasons.")
    languages: Languages


class NearDuplicateMethod(_Document):
    """How near duplicates were looked for."""

    compared: str
    threshold: float
    permutations: int
    words_per_shingle: int
    common_shingles: int = Field(description="Shingles that most rows share, left out as the set's template.")
    uncompared_pairs: int = Field(description="Candidates left uncompared because too many rows look alike.")


class TokenReport(_Document):
    """Lengths in tokens, and what is wrong with rows under one tokenizer and its chat template."""

    checked_with: str = Field(description="The tokenizer: a Hub id or a folder.")
    rows: int = Field(description="Rows that were tokenised.")
    histogram: LengthHistogram
    max_length: int = Field(description="Rows are cut after this many tokens.")
    max_length_from: Literal["setting", "data"]
    truncated_rows: int
    truncated_share: float
    untrained_rows: int = Field(description="Rows of which no token within the limit is trained on.")
    tokens: int
    trained_tokens: int = Field(description="Tokens that count in the loss, before any row is cut.")
    findings: list[IntegrityFinding]
    seconds: float


class IntegrityReport(_Document):
    """The findings on all rows, worst first, and the statistics behind them."""

    rows: int
    usable_rows: int
    passed: bool = Field(description="No finding is an error.")
    findings: list[IntegrityFinding]
    statistics: IntegrityStatistics
    histogram: LengthHistogram = Field(description="Lengths of the usable rows in characters.")
    token_histogram: LengthHistogram | None = None
    checked_with: str | None = Field(None, description="The tokenizer behind `token_histogram`.")
    near_duplicate_method: NearDuplicateMethod
    seconds: float

    def with_tokens(self, tokens: TokenReport) -> Self:
        """The same report with what a tokenizer adds to it, in place of what another one had added."""
        findings = [finding for finding in self.findings if finding.code not in TOKEN_CODES] + tokens.findings
        return self.model_copy(
            update={
                "findings": sort_findings(findings),
                "passed": all(finding.severity != "error" for finding in findings),
                "token_histogram": tokens.histogram,
                "checked_with": tokens.checked_with,
            }
        )


def sort_findings(findings: list[IntegrityFinding]) -> list[IntegrityFinding]:
    """Errors first, then warnings, then remarks; those that concern more rows first."""
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), -finding.count))
