"""AugmentJob: the recipe of making further rows: read the training rows, show ten or make all, leave them to review."""

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.augment import ReviewCounts, ReviewFolder, augment_into, estimate_cost, preview
from pipeline.augment.config import DocumentAugmentation, EndpointAugmentation
from pipeline.augment.cost import CostEstimate
from pipeline.augment.outcome import BeforeAfter
from pipeline.augment.training_rows import TrainingRows, read_training_rows
from pipeline.data.row_store import write_document
from pipeline.data_config import AugmentJobConfig
from pipeline.errors import DataProblem
from pipeline.job_tracker import STAGE_PROGRESS, JobTracker
from pipeline.run_dir import RunDir

PREVIEW_FILE = "preview.json"
REVIEW_FOLDER = "review"
PREVIEW_ROWS = 10
_REPORT_SECONDS = 0.3


class PreviewDocument(BaseModel):
    """`preview.json`: some rows before and after, and what all of them would cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: tuple[BeforeAfter, ...]
    estimate: CostEstimate
    training_rows: int
    other_rows: int


class AugmentJob:
    """One augmentation of one data set into one run folder."""

    def __init__(self, config: AugmentJobConfig, run_dir: RunDir, tracker: JobTracker) -> None:
        self.config = config
        self.run_dir = run_dir
        self.tracker = tracker
        self._told = 0.0

    def run(self) -> None:
        """Make the rows, or ten of them to look at. An attempt that was cut short is gone on from.

        Raises:
            UserError: with a sentence for the user; anything else is a bug.
        """
        self.tracker.stage("preparing", f"Reading the training rows of {self.config.name}")
        rows = read_training_rows(Path(self.config.dataset))
        self._check_format(rows)
        if self.config.preview:
            self._preview(rows)
        else:
            self._make(rows)

    def _preview(self, rows: TrainingRows) -> None:
        augmentation, seed = self.config.augmentation, self.config.seed
        estimate = estimate_cost(augmentation, rows.train, seed=seed)
        self.tracker.stage("augmenting", f"Making {PREVIEW_ROWS} rows to look at")
        shown = preview(augmentation, rows.train, count=PREVIEW_ROWS, seed=seed)
        document = PreviewDocument(
            rows=tuple(shown), estimate=estimate, training_rows=len(rows.train), other_rows=len(rows.others)
        )
        write_document(self.run_dir.path / PREVIEW_FILE, document)
        self.tracker.complete({"shown": float(len(shown))}, versions={})

    def _make(self, rows: TrainingRows) -> None:
        self.tracker.stage("augmenting", f"Making rows from {len(rows.train):,} training rows")
        counts = augment_into(
            ReviewFolder(self.run_dir.path / REVIEW_FOLDER),
            self.config.augmentation,
            rows.train,
            progress=self._report,
            seed=self.config.seed,
            existing_keys=rows.others,
        )
        self.tracker.complete(self._metrics(counts), versions={})

    def _metrics(self, counts: ReviewCounts) -> dict[str, float]:
        """What was made, what was refused and why, and what it used."""
        augmentation = self.config.augmentation
        cost = None
        if isinstance(augmentation, EndpointAugmentation):
            cost = augmentation.endpoint.cost(counts.input_tokens, counts.output_tokens)
        return {
            "generated": float(counts.generated),
            "refused": float(sum(counts.refused.values())),
            **{f"refused_{kind}": float(count) for kind, count in counts.refused.items()},
            "requests": float(counts.requests),
            "input_tokens": float(counts.input_tokens),
            "output_tokens": float(counts.output_tokens),
            **({} if cost is None else {"cost": cost}),
        }

    def _check_format(self, rows: TrainingRows) -> None:
        if isinstance(self.config.augmentation, DocumentAugmentation) and rows.format not in (
            "messages",
            "prompt_completion",
        ):
            raise DataProblem(
                f"Questions about documents become conversations, and {self.config.name} holds rows of another kind "
                f"({rows.format.replace('_', ' ')}). Add them to a data set of conversations."
            )

    def _report(self, done: int, total: int) -> None:
        now = time.monotonic()
        if total and (done == total or now - self._told >= _REPORT_SECONDS):
            self._told = now
            start = STAGE_PROGRESS["augmenting"]
            self.tracker.stage("augmenting", f"{done:,} of {total:,}", progress=start + (1.0 - start) * done / total)
