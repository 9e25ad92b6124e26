"""What a running job says: small typed records in the past tense, one JSON line each."""

import math
import os
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.measurements import Measurements

Stage = Literal[
    "preparing",
    "fetching",
    "reading",
    "checking",
    "augmenting",
    "loading_model",
    "loading_data",
    "training",
    "evaluating",
    "saving",
    "exporting",
]

StopReason = Literal["requested", "no_improvement"]
"""Why a run ended before its last step: somebody asked for it, or its evaluations did not get better any more."""


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


Metrics = Annotated[dict[str, float], AfterValidator(_finite)]
"""Named values. Those that are infinite or no number are left out: JSON has no word for them."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    time: float = Field(default_factory=time.time, description="Seconds since the epoch, UTC.")


class StageStarted(_Event):
    """The job entered `stage`; `progress` is in 0–1 over the whole job."""

    type: Literal["stage_started"] = "stage_started"
    stage: Stage
    progress: float = Field(ge=0, le=1)
    message: str


class ModelLoaded(_Event):
    """The base model stands in memory, with its adapter."""

    type: Literal["model_loaded"] = "model_loaded"
    parameters: int
    trainable_parameters: int
    device: str
    precision: str
    attention: str


class RowDropped(BaseModel):
    """A row that is not trained on: its 1-based number in the file and the reason."""

    row: int
    reason: str


class DataLoaded(_Event):
    """The rows are tokenised. Token counts are over one epoch of the training split."""

    type: Literal["data_loaded"] = "data_loaded"
    train_rows: int
    eval_rows: int
    tokens: int
    trained_tokens: int
    max_length: int
    truncated_rows: int
    dropped_rows: int
    dropped_examples: list[RowDropped] = Field(default_factory=list, description="The first dropped rows.")


class StepLogged(_Event):
    """Values logged at an optimiser step (`loss`, `learning_rate`, `grad_norm`, `tokens_per_second`, …)."""

    type: Literal["step_logged"] = "step_logged"
    step: int
    total_steps: int
    epoch: float
    metrics: Metrics

    @property
    def progress(self) -> float:
        """Progress of the whole job, 0.4 at the first step to 0.9 after the last."""
        return 0.4 + 0.5 * min(1.0, self.step / self.total_steps)


class EvaluationFinished(_Event):
    """The held-out rows were scored after `step`."""

    type: Literal["evaluation_finished"] = "evaluation_finished"
    step: int
    metrics: Metrics


class Sample(BaseModel):
    """A held-out prompt, its last turn shown, and what the model made of it; `finished`: it ended the answer itself."""

    row: int
    prompt: str
    reference: str | None
    answer: str
    finished: bool = True


class SamplesAnswered(_Event):
    """The model answered held-out prompts as it was after `step`; the prompts are the same each time."""

    type: Literal["samples_answered"] = "samples_answered"
    step: int
    samples: list[Sample]


class ScoredRow(BaseModel):
    """A held-out row with the answers of the base and of the tuned model."""

    row: int
    prompt: str
    reference: str
    base: str
    tuned: str


class ScoresComputed(_Event):
    """The base and the tuned model answered the same held-out rows: their scores, from 0 to 100, and some answers."""

    type: Literal["scores_computed"] = "scores_computed"
    step: int
    rows: int
    base: Metrics
    tuned: Metrics
    examples: list[ScoredRow] = Field(default_factory=list, description="The first rows.")

    @property
    def metrics(self) -> dict[str, float]:
        """Every score under one name, such as `score/tuned/exact_match`."""
        sides = {"base": self.base, "tuned": self.tuned}
        return {f"score/{side}/{name}": value for side, scores in sides.items() for name, value in scores.items()}


class CheckpointSaved(_Event):
    """A complete checkpoint stands at `path`, relative to the run folder."""

    type: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    path: str


ArtifactKind = Literal["adapter", "model", "merged", "gguf", "gguf_adapter", "onnx", "card", "dataset"]
"""Results of jobs, each a folder of this name in the run folder."""


class ArtifactSaved(_Event):
    """A result stands at `path`, relative to the run folder."""

    type: Literal["artifact_saved"] = "artifact_saved"
    kind: ArtifactKind
    path: str
    size_bytes: int


class TransferProgressed(_Event):
    """An import has come this far: bytes fetched or read, and rows stored. `bytes_total` is None where unknown."""

    type: Literal["transfer_progressed"] = "transfer_progressed"
    bytes_done: int
    bytes_total: int | None = None
    rows: int = 0
    message: str = ""


class DatasetImported(_Event):
    """The rows of a data set stand in the run folder; the summary and the report lie beside them."""

    type: Literal["dataset_imported"] = "dataset_imported"
    rows: int
    usable_rows: int
    unreadable_rows: int
    passed: bool


class TrackerLinked(_Event):
    """A tracker shows the run at `url`."""

    type: Literal["tracker_linked"] = "tracker_linked"
    tracker: str
    url: str = Field(pattern=r"^https?://[^\s<>\"']+$")


class ExportDelivered(_Event):
    """The files of an export are at a `destination`; people open it at `address`."""

    type: Literal["export_delivered"] = "export_delivered"
    destination: str
    address: str


class RunMeasured(_Event):
    """The training loop has ended; this is what it took."""

    type: Literal["run_measured"] = "run_measured"
    measured: Measurements


class WarningRaised(_Event):
    """Something the user should know; the job goes on."""

    type: Literal["warning_raised"] = "warning_raised"
    code: str
    message: str


class JobCompleted(_Event):
    """The job ended well; the manifest was written before this line. `stop_reason` says why it `stopped_early`."""

    type: Literal["job_completed"] = "job_completed"
    stopped_early: bool = False
    stop_reason: StopReason | None = None
    metrics: Metrics


class JobFailed(_Event):
    """The job ended badly."""

    type: Literal["job_failed"] = "job_failed"
    code: str
    message: str


Event = Annotated[
    StageStarted
    | ModelLoaded
    | DataLoaded
    | StepLogged
    | EvaluationFinished
    | SamplesAnswered
    | ScoresComputed
    | CheckpointSaved
    | ArtifactSaved
    | TransferProgressed
    | DatasetImported
    | RunMeasured
    | TrackerLinked
    | ExportDelivered
    | WarningRaised
    | JobCompleted
    | JobFailed,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: bytes) -> Event:
    """The event that one JSON line stands for. Raises pydantic's ValidationError where it is none."""
    return _EVENT.validate_json(line)


def append_event(path: Path, event: Event) -> None:
    """Append `event` to the file at `path` as one line in one write, so that a reader never sees half of it mixed."""
    line = event.model_dump_json() + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The events in the complete lines after byte `offset`, and the offset to continue from."""
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    complete = data[: data.rfind(b"\n") + 1]
    return [parse_event(line) for line in complete.splitlines()], offset + len(complete)
