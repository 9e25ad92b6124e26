"""The trial of a run before its start: its model, one step on its longest rows, its saving. Every failure is a finding.

Importing this loads no model library; trying does.
"""

import errno
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

from pipeline.checks import smoke as findings
from pipeline.checks.combinations import refuse_contradictions
from pipeline.checks.finding import Finding
from pipeline.config import FineTuneJobConfig
from pipeline.errors import DataProblem, InvalidConfig, ModelUnavailable, RewardFailed, UserError
from pipeline.events import Event, Stage, StageStarted
from pipeline.job_tracker import DISK_FULL, JobTracker, Listener
from pipeline.providers.import_order import import_provider
from pipeline.run_dir import RunDir
from pipeline.smoke_report import SmokeReport

logger = logging.getLogger(__name__)

_FIELDS: dict[type[UserError], str] = {
    DataProblem: "dataset.path",
    ModelUnavailable: "model.base_model",
    RewardFailed: "method.rewards",
}
_AFTER_LOADING: tuple[Stage, ...] = ("training", "saving")
# What libraries say when an allocation fails; each in its own words.
_LACK_OF_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED", "bad_alloc", "can't start new thread")


def try_longest_batch(config: FineTuneJobConfig, folder: Path, *, listener: Listener | None = None) -> SmokeReport:
    """Try the run of `config` in `folder`, which is gone afterwards. Raises nothing: every failure is a finding."""
    trial = _Trial(config, folder, listener)
    began = time.perf_counter()
    try:
        trial.run()
    except UserError as error:
        trial.findings += findings_of(error, config, stage=trial.stage)
    except Exception as error:
        logger.exception("the trial failed")
        trial.findings += findings_of(error, config, stage=trial.stage)
    finally:
        rmtree(folder, ignore_errors=True)
    return SmokeReport(findings=trial.findings, seconds=time.perf_counter() - began, **trial.measured)


def findings_of(error: Exception, config: FineTuneJobConfig, *, stage: Stage) -> list[Finding]:
    """What a failure in this stage means for the run."""
    if any(map(_tells_lack_of_memory, _causes(error))):
        return [lack_of_memory(config, stage=stage)]
    if isinstance(error, InvalidConfig):
        return [
            Finding(code=error.code, severity="error", field=problem.field, message=problem.message)
            for problem in error.problems
        ]
    if isinstance(error, UserError):
        field = error.field or _FIELDS.get(type(error), "")
        return [Finding(code=error.code, severity="error", field=field, message=str(error))]
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return [Finding(code="disk_full", severity="error", field="", message=DISK_FULL)]
    return [findings.failed(f"{type(error).__name__}: {error}")]


def lack_of_memory(config: FineTuneJobConfig, *, stage: Stage) -> Finding:
    """The finding for a trial whose memory ended in this stage."""
    return findings.out_of_memory(config, loading=stage not in _AFTER_LOADING)


class _Trial:
    """One trial: what was found and measured so far, and where it stands."""

    def __init__(self, config: FineTuneJobConfig, folder: Path, listener: Listener | None) -> None:
        self.config = config
        self.folder = folder
        self.stage: Stage = "preparing"
        self.findings: list[Finding] = []
        self.measured: dict[str, Any] = {}
        self._listener = listener

    def run(self) -> None:
        """Load, step, save. Raises whatever the run would raise."""
        refuse_contradictions(self.config)
        run_dir = RunDir(self.folder)
        run_dir.create(self.config)
        tracker = JobTracker(run_dir, self._hear)
        tracker.stage("preparing", f"Trying {self.config.name}")
        import_provider(self.config.model, compiled_code=run_dir.compiled_code)
        from pipeline.fine_tune_job import load_all
        from pipeline.smoke_step import try_saving, try_step

        loaded, data = load_all(self.config, tracker)
        outcome = vars(try_step(self.config, tracker, loaded=loaded, data=data))
        self.findings += outcome.pop("findings")
        self.measured = outcome
        if all(finding.severity != "error" for finding in self.findings):
            self.findings += try_saving(self.config, tracker, loaded=loaded, data=data)

    def _hear(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self.stage = event.stage
        if self._listener is not None:
            self._listener(event)


def _tells_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return not isinstance(error, UserError) and any(clue in str(error) for clue in _LACK_OF_MEMORY)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
