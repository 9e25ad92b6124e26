"""JobTracker: turns the stages, values and failures of a running job into events."""

import errno
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from pipeline.errors import UserError
from pipeline.events import (
    ArtifactKind,
    ArtifactSaved,
    Event,
    JobCompleted,
    JobFailed,
    Stage,
    StageStarted,
    StopReason,
    WarningRaised,
)
from pipeline.measurements import Measurements
from pipeline.run_dir import Manifest, ManifestArtifact, RunDir

logger = logging.getLogger(__name__)

Listener = Callable[[Event], None]

DISK_FULL = "The disk is full. Free some space and start the run again."

STAGE_PROGRESS: dict[Stage, float] = {
    "preparing": 0.0,
    "fetching": 0.02,
    "reading": 0.4,
    "checking": 0.6,
    "augmenting": 0.1,
    "loading_model": 0.1,
    "loading_data": 0.3,
    "training": 0.4,
    "evaluating": 0.9,
    "saving": 0.9,
    "exporting": 0.95,
}


class JobTracker:
    """Context manager around one run: records every event, and a failure if the body raises.

    `listener` is told of each event after it is on disk (the command line draws its progress bar with it).
    """

    def __init__(self, run_dir: RunDir, listener: Listener | None = None) -> None:
        self.run_dir = run_dir
        self.listener = listener
        self.artifacts: list[ManifestArtifact] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if isinstance(error, UserError):
            self.record(JobFailed(code=error.code, message=str(error)))
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            self.record(JobFailed(code="disk_full", message=DISK_FULL))
        elif isinstance(error, Exception):
            self.record(JobFailed(code="unexpected_error", message=f"{type(error).__name__}: {error}"))
        return False

    def record(self, event: Event) -> None:
        """Append one event to the run's file."""
        self.run_dir.append(event)
        if self.listener:
            self.listener(event)

    def stage(self, stage: Stage, message: str, *, progress: float | None = None) -> None:
        """Say that `stage` begins, or what it does now at a `progress` past its beginning."""
        logger.info("%s", message)
        reached = STAGE_PROGRESS[stage] if progress is None else progress
        self.record(StageStarted(stage=stage, progress=reached, message=message))

    def warn(self, code: str, message: str) -> None:
        """Say something the user should know."""
        logger.warning("%s", message)
        self.record(WarningRaised(code=code, message=message))

    def artifact(self, kind: ArtifactKind) -> None:
        """Say that the result of this kind is complete on disk."""
        described = self.run_dir.describe_artifact(kind)
        self.artifacts.append(described)
        self.record(ArtifactSaved(kind=kind, path=described.path, size_bytes=described.size_bytes))

    def complete(
        self,
        metrics: dict[str, float],
        *,
        versions: dict[str, str],
        stop_reason: StopReason | None = None,
        measured: Measurements | None = None,
    ) -> None:
        """Write the manifest, then say that the job is done; a `stop_reason` where it ended before its last step."""
        early = stop_reason is not None
        self.run_dir.write_manifest(
            Manifest(
                stopped_early=early,
                stop_reason=stop_reason,
                metrics=metrics,
                artifacts=self.artifacts,
                versions=versions,
                measured=measured,
            )
        )
        self.record(JobCompleted(stopped_early=early, stop_reason=stop_reason, metrics=metrics))
