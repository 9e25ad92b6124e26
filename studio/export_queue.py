"""Puts exports into the queue: those that somebody asks for, and those that a run was told to make when it ends."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from db import jobs
from db.models import Job
from pipeline.export_config import ExportJobConfig
from pipeline.run_dir import RunDir
from pipeline.validation import parse_export_config

EXPORTED = "exported"
"""The fact of an export that tells its run."""
_CHOSEN = ("formats", "quantizations", "destinations", "private")


def queue_export(session: Session, config: ExportJobConfig, *, owner: str, run: Job | None) -> Job:
    """A new queued export, of a run or of an adapter from elsewhere."""
    facts = {} if run is None else {EXPORTED: run.job_id}
    return jobs.create_job(session, config, owner=owner, facts=facts)


def queue_chosen_export(session: Session, run: Job, folder: RunDir) -> Job | None:
    """The export that the document of a completed run asks for, queued; None where it asks for none."""
    chosen = run.training.export
    if not chosen.formats:
        return None
    return queue_export(session, chosen_export(run, folder), owner=run.owner, run=run)


def chosen_export(run: Job, folder: RunDir) -> ExportJobConfig:
    """The export that the document of a run asks for."""
    chosen: Mapping[str, Any] = run.training.export.model_dump(include=set(_CHOSEN))
    return parse_export_config({"name": run.name, "source": str(folder.path), **chosen})
