"""Exports: the verbs for making files of a run's result that other programs read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db import jobs
from db.database import Database
from db.models import Job
from db.states import JobState
from pipeline.errors import InvalidConfig, Problem
from pipeline.export_config import ExportJobConfig
from pipeline.exporters.gguf.tools import require_gguf
from pipeline.run_dir import RunDir
from pipeline.validation import parse_export_config
from studio.registry import Forbidden
from studio.scheduler import Scheduler
from studio.settings import Settings

EXPORTED = "exported"
"""The fact of an export that tells its run."""
_SETTINGS = ("formats", "quantizations", "checkpoint")


class Exports:
    """Files made of runs. Every verb takes the owner that the caller was identified as, and checks it."""

    def __init__(self, settings: Settings, database: Database, scheduler: Scheduler) -> None:
        self.settings = settings
        self.database = database
        self.scheduler = scheduler

    def start(self, run: str, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue an export of a run: `formats`, `quantizations`, and the `checkpoint` by its step instead of the end.

        Raises:
            NotFound, Forbidden: the run is not there, or not the caller's.
            InvalidConfig: the run has no result, or a value is wrong.
            GgufNotInstalled: GGUF files are wanted, and what makes them is not installed.
        """
        training = self._own(run, kind="train", owner=owner)
        config = self._config(training, data)
        if "gguf" in config.formats:
            require_gguf()
        with self.database.write() as session:
            job = jobs.create_job(session, config, owner=owner, facts={EXPORTED: training.job_id})
        self.scheduler.wake()
        return job

    def job(self, identifier: str, *, owner: str) -> Job:
        """One export. Raises NotFound, Forbidden."""
        return self._own(identifier, kind="export", owner=owner)

    def list(
        self, *, owner: str, run: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[Sequence[Job], int]:
        """The exports of `owner`, or those of one run, the newest first, and how many there are."""
        with self.database.read() as session:
            if run is None:
                return jobs.list_jobs(session, owner=owner, kind="export", limit=limit, offset=offset)
            name = self._own(run, kind="train", owner=owner).job_id
            found, _ = jobs.list_jobs(session, owner=owner, kind="export", limit=10_000)
        of_run = [job for job in found if job.facts.get(EXPORTED) == name]
        return of_run[offset : offset + limit], len(of_run)

    def _own(self, identifier: str, *, kind: str, owner: str) -> Job:
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        if job.kind != kind:
            raise jobs.NotFound(f"{identifier} is no job of kind {kind} but of kind {job.kind}.")
        if job.owner != owner:
            raise Forbidden(f"{identifier} belongs to somebody else. Ask its owner to share the result.")
        return job

    def _config(self, run: Job, data: Mapping[str, Any]) -> ExportJobConfig:
        unknown = [name for name in data if name not in _SETTINGS]
        if unknown:
            known = ", ".join(_SETTINGS)
            raise InvalidConfig([Problem(unknown[0], f"is no setting of an export. There are {known}.")])
        folder = RunDir(self.settings.runs / run.job_id)
        checkpoint = data.get("checkpoint")
        source = folder.path if checkpoint is None else self._checkpoint(folder, checkpoint)
        if checkpoint is None and run.state != JobState.COMPLETED:
            raise InvalidConfig(
                [Problem("", f"{run.name} is {run.state}. Only a completed run has a result to export.")]
            )
        given = {name: data[name] for name in ("formats", "quantizations") if name in data}
        return parse_export_config({"name": run.name, "source": str(source), **given})

    def _checkpoint(self, run: RunDir, step: Any) -> Path:
        folder = run.checkpoints / f"checkpoint-{step}"
        if not str(step).isdigit() or not folder.is_dir():
            steps = sorted(path.name.rpartition("-")[2] for path in run.checkpoints.glob("checkpoint-*"))
            told = f"There are {', '.join(steps)}." if steps else "The run keeps none."
            raise InvalidConfig([Problem("checkpoint", f"there is no checkpoint of step {step}. {told}")])
        return folder
