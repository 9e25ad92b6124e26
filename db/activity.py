"""The activity feed: what happened, told once in plain words."""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from db.models import Activity, Job
from db.states import JobState

_TOLD = {
    JobState.RUNNING: ("job_started", "{name} is running", "info"),
    JobState.COMPLETED: ("job_completed", "{name} is done", "success"),
    JobState.FAILED: ("job_failed", "{name} failed", "error"),
    JobState.CANCELLED: ("job_cancelled", "{name} was cancelled", "warning"),
    JobState.INTERRUPTED: ("job_interrupted", "{name} was interrupted", "error"),
}
_TOLD_OF_IMPORTS = {
    JobState.COMPLETED: ("dataset_imported", "Data set imported: {name}", "success"),
    JobState.FAILED: ("transfer_failed", "{name} could not be imported", "error"),
    JobState.CANCELLED: ("transfer_cancelled", "The import of {name} was cancelled", "warning"),
    JobState.INTERRUPTED: ("transfer_interrupted", "The import of {name} was interrupted", "error"),
}
_TOLD_OF_AUGMENTS = {
    JobState.FAILED: ("augmentation_failed", "No further rows could be made for {name}", "error"),
    JobState.INTERRUPTED: ("augmentation_interrupted", "Making rows for {name} was interrupted", "error"),
}
_TOLD_OF_EXPORTS = {
    JobState.COMPLETED: ("export_completed", "{name} is exported", "success"),
    JobState.FAILED: ("export_failed", "{name} could not be exported", "error"),
    JobState.CANCELLED: ("export_cancelled", "The export of {name} was cancelled", "warning"),
    JobState.INTERRUPTED: ("export_interrupted", "The export of {name} was interrupted", "error"),
}
_TOLD_OF = {
    "train": _TOLD,
    "import": _TOLD_OF_IMPORTS,
    "augment": _TOLD_OF_AUGMENTS,
    "export": _TOLD_OF_EXPORTS,
}
_ENTITIES = {"train": "job", "export": "export"}


def record(session: Session, job: Job, event_type: str, title: str, message: str, *, status: str) -> None:
    """Tell the owner of `job` something."""
    last = session.exec(select(func.max(Activity.sequence))).one()
    session.add(
        Activity(
            sequence=1 if last is None else last + 1,
            owner=job.owner,
            event_type=event_type,
            entity_type=_ENTITIES.get(job.kind, "transfer"),
            entity_id=job.id,
            title=title,
            message=message,
            status=status,
            details={"job_id": job.job_id, "job_name": job.name},
        )
    )
    session.flush()


def record_transition(session: Session, job: Job, target: JobState) -> None:
    """Tell about a change of state, where a person would want to know."""
    told = _TOLD_OF[job.kind]
    if target in told:
        event_type, title, status = told[target]
        message = job.error_message if job.error_message and status == "error" else ""
        record(session, job, event_type, title.format(name=job.name), message, status=status)


def list_activity(
    session: Session, *, owner: str, limit: int = 100, offset: int = 0, unread_only: bool = False
) -> tuple[Sequence[Activity], int]:
    """The feed of `owner`, the newest first, and how many entries there are in all."""
    where = [col(Activity.owner) == owner, *([col(Activity.read).is_(False)] if unread_only else [])]
    total = session.exec(select(func.count()).select_from(Activity).where(*where)).one()
    query = select(Activity).where(*where).order_by(col(Activity.sequence).desc()).offset(offset).limit(limit)
    return session.exec(query).all(), total


def unread_count(session: Session, *, owner: str) -> int:
    """How many entries `owner` has not read."""
    query = select(func.count()).select_from(Activity).where(Activity.owner == owner, col(Activity.read).is_(False))
    return session.exec(query).one()


def mark_read(session: Session, *, owner: str, entry: str | None = None) -> int:
    """Mark one entry, or all, of `owner` as read; returns how many changed."""
    query = update(Activity).where(col(Activity.owner) == owner, col(Activity.read).is_(False))
    if entry is not None:
        query = query.where(col(Activity.id) == entry)
    return session.exec(query.values(read=True)).rowcount
