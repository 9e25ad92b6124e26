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
from pipeline.exporters.onnx.convert import require_onnx
from pipeline.run_dir import RunDir
from pipeline.validation import parse_export_config
from studio.containment import contain_export
from studio.export_queue import EXPORTED, queue_export
from studio.registry import Forbidden
from studio.scheduler import Scheduler
from studio.settings import Settings

_OF_A_RUN = ("formats", "quantizations", "destinations", "private", "name", "checkpoint")
_FROM_ELSEWHERE = ("formats", "quantizations", "destinations", "private", "name", "source", "base_model")
# As many as one answer may list.
_ALL = 10_000


class Exports:
    """Files made of runs. Every verb takes the owner that the caller was identified as, and checks it."""

    def __init__(self, settings: Settings, database: Database, scheduler: Scheduler) -> None:
        self.settings = settings
        self.database = database
        self.scheduler = scheduler

    def start(self, run: str | None, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue an export: of a run (`checkpoint` by its step instead of the end), or without one of the adapter in
        the folder `source`.

        Raises:
            NotFound, Forbidden: the run is not there, or not the caller's.
            InvalidConfig: there is no result, or a value is wrong.
            GgufNotInstalled, OnnxNotInstalled: such files are wanted, and what makes them is not installed.
        """
        training = None if run is None else self._own(run, kind="train", owner=owner)
        config = self._from_elsewhere(data) if training is None else self._of_run(training, data)
        contain_export(config, self.settings, is_own_source=training is not None)
        if {"gguf", "gguf_adapter"} & set(config.formats):
            require_gguf()
        if "onnx" in config.formats:
            require_onnx()
        with self.database.write() as session:
            job = queue_export(session, config, owner=owner, run=training)
        self.scheduler.wake()
        return job

    def retry(self, identifier: str, *, owner: str) -> Job:
        """Queue an export again that has failed or was stopped; what it had proven is not made again.

        Raises:
            NotFound, Forbidden, InvalidTransition: it is not there, not the caller's, or has not ended so.
        """
        known = self.job(identifier, owner=owner)
        with self.database.write() as session:
            job = jobs.get_job(session, known.id)
            jobs.requeue(session, job, reason="asked for again")
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
            found, _ = jobs.list_jobs(session, owner=owner, kind="export", limit=_ALL)
        of_run = [job for job in found if job.facts.get(EXPORTED) == name]
        return of_run[offset : offset + limit], len(of_run)

    def checkpoints(self, run: Job) -> Sequence[int]:
        """Steps of the run of which a checkpoint is kept."""
        folder = RunDir(self.settings.runs / run.job_id).checkpoints
        steps = [path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*")]
        return sorted(int(step) for step in steps if step.isdigit())

    def _own(self, identifier: str, *, kind: str, owner: str) -> Job:
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        if job.kind != kind:
            raise jobs.NotFound(f"{identifier} is no job of kind {kind} but of kind {job.kind}.")
        if job.owner != owner:
            raise Forbidden(f"{identifier} belongs to somebody else. Ask its owner to share the result.")
        return job

    def _of_run(self, run: Job, data: Mapping[str, Any]) -> ExportJobConfig:
        _refuse_unknown(data, _OF_A_RUN)
        folder = RunDir(self.settings.runs / run.job_id)
        checkpoint = data.get("checkpoint")
        source = folder.path if checkpoint in (None, "") else self._checkpoint(run, folder, checkpoint)
        if source == folder.path and run.state != JobState.COMPLETED:
            steps = self.checkpoints(run)
            way = f" Name a checkpoint: {', '.join(map(str, steps))}." if steps else ""
            told = f"{run.name} is {run.state}. Only a completed run has a result to export.{way}"
            raise InvalidConfig([Problem("", told)])
        given = {name: value for name, value in data.items() if name != "checkpoint"}
        return parse_export_config({"name": run.name, **given, "source": str(source)})

    def _from_elsewhere(self, data: Mapping[str, Any]) -> ExportJobConfig:
        _refuse_unknown(data, _FROM_ELSEWHERE)
        source = str(data.get("source", "")).strip()
        if not source:
            raise InvalidConfig([Problem("job_id", "is missing. Name the run to export, or the folder of an adapter.")])
        folder = Path(source).expanduser()
        if not folder.is_absolute() or not folder.is_dir():
            told = f"{source} is no folder here. Give the whole path of an adapter's folder."
            raise InvalidConfig([Problem("source", told)])
        return parse_export_config({"name": folder.name, **data, "source": str(folder.resolve())})

    def _checkpoint(self, run: Job, folder: RunDir, step: Any) -> Path:
        steps = self.checkpoints(run)
        if not str(step).isdigit() or int(step) not in steps:
            told = f"There are {', '.join(map(str, steps))}." if steps else "The run keeps none."
            raise InvalidConfig([Problem("checkpoint", f"there is no checkpoint of step {step}. {told}")])
        return folder.checkpoints / f"checkpoint-{int(step)}"


def _refuse_unknown(data: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [name for name in data if name not in known]
    if unknown:
        raise InvalidConfig([Problem(unknown[0], f"is no setting of an export. There are {', '.join(known)}.")])
