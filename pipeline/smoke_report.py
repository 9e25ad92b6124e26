"""What came of trying the longest batch, as one document that crosses a process."""

from pydantic import BaseModel, ConfigDict, Field

from pipeline.checks.finding import Finding
from pipeline.events import Stage


class SmokeProgress(BaseModel):
    """How far the trial is: a stage of the run, its share of the whole from 0 to 1, and a sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: Stage
    share: float
    message: str


class SmokeReport(BaseModel):
    """What was found and measured. A value is None where the trial ended before it was known."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    findings: list[Finding]
    seconds: float = Field(description="The whole trial, loading included.")
    peak_memory: int | None = Field(
        None, description="Bytes held at the peak of the step: of the GPU where there is one, else of the process."
    )
    step_seconds: float | None = Field(None, description="The first step; later ones are seldom slower.")
    longest_tokens: int | None = Field(
        None, description="Tokens of the longest row after it was cut; with GRPO, of the longest prompt."
    )
    rows: int | None = Field(None, description="Rows that the step learned from.")
    loss: float | None = Field(None, description="The loss before anything was learned.")

    @property
    def passed(self) -> bool:
        """Whether nothing was found that would make the run fail."""
        return all(finding.severity != "error" for finding in self.findings)
