"""Jobs: create, find, claim, change state, and record what a running job reported."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, or_
from sqlmodel import Session, col, select

from db import activity
from db.columns import utc_now
from db.job_names import readable_name
from db.models import Artifact, Job, JobTransition, Metric
from db.states import LIVE, JobState, check_transition
from pipeline.config import AnyJobConfig
from pipeline.errors import UserError
from pipeline.events import (
    ArtifactSaved,
    CheckpointSaved,
    DataLoaded,
    DatasetImported,
    EvaluationFinished,
    Event,
    ExportDelivered,
    JobCompleted,
    JobFailed,
    ModelLoaded,
    RunMeasured,
    SamplesAnswered,
    ScoresComputed,
    StageStarted,
    StepLogged,
    StopReason,
    TrackerLinked,
    TransferProgressed,
    WarningRaised,
)
from pipeline.job_tracker import STAGE_PROGRESS

_SLUG_HASH_LENGTH = 8
_DONE: dict[StopReason | None, str] = {
    None: "Done",
    "requested": "Done",
    "no_improvement": "Stopped early: the evaluations did not get better any more",
}


class NotFound(UserError):
    """There is no such record, or it belongs to somebody else."""

    code = "not_found"


def create_job(
    session: Session,
    config: AnyJobConfig,
    *,
    owner: str,
    dataset_name: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Job:
    """A new queued job with a readable unique `job_id`: training_<dataset>_<model>_<hash>, import_<name>_<hash>,
    augment_<name>_<hash>.

    `dataset_name` is what people call the rows; without it, the last part of their path. `facts` are plain JSON that is
    known of the job before it runs, such as its `estimate`.
    """
    document = config.model_dump_json()
    digest = hashlib.sha256(document.encode()).hexdigest()
    base = f"{readable_name(config, dataset_name=dataset_name)}_{digest[:_SLUG_HASH_LENGTH]}"
    same = session.exec(select(func.count()).select_from(Job).where(Job.config_hash == digest)).one()
    named = {} if dataset_name is None else {"dataset_name": dataset_name}
    job = Job(
        job_id=base if same == 0 else f"{base}-{same + 1}",
        kind=config.kind,
        name=config.name,
        owner=owner,
        config=config,
        config_hash=digest,
        facts={**({} if facts is None else facts), **named},
    )
    session.add(job)
    session.flush()
    session.add(JobTransition(job=job.id, source="", target=JobState.QUEUED, reason="submitted"))
    if config.kind == "train":
        activity.record(session, job, "job_created", f"{job.name} is queued", "", status="info")
    return job


def get_job(session: Session, identifier: str) -> Job:
    """The job with this UUID or readable id.

    Raises:
        NotFound: there is none.
    """
    job = session.exec(select(Job).where(or_(col(Job.id) == identifier, col(Job.job_id) == identifier))).first()
    if job is None:
        raise NotFound(f"There is no run with the id {identifier!r}. The list of runs shows those there are.")
    return job


def list_jobs(
    session: Session, *, owner: str, kind: str = "train", limit: int = 100, offset: int = 0
) -> tuple[Sequence[Job], int]:
    """Jobs of `owner` of one kind, the newest first, and how many there are in all."""
    where = (col(Job.owner) == owner, col(Job.kind) == kind)
    total = session.exec(select(func.count()).select_from(Job).where(*where)).one()
    query = select(Job).where(*where).order_by(col(Job.created_at).desc(), col(Job.id))
    return session.exec(query.offset(offset).limit(limit)).all(), total


def count_results(session: Session, name: str, *, owner: str) -> int:
    """How many runs of `owner` have this name and have a result, or may get one."""
    without = (JobState.FAILED, JobState.CANCELLED)
    where = (col(Job.owner) == owner, col(Job.name) == name, col(Job.kind) == "train", col(Job.state).not_in(without))
    return session.exec(select(func.count()).select_from(Job).where(*where)).one()


def live_jobs(session: Session) -> Sequence[Job]:
    """Jobs that may have a process."""
    return session.exec(select(Job).where(col(Job.state).in_(LIVE))).all()


def queued_kinds(session: Session) -> set[str]:
    """Kinds of which a job waits for its turn."""
    return set(session.exec(select(Job.kind).where(Job.state == JobState.QUEUED).distinct()))


def claim_next(session: Session, *, kind: str = "train") -> Job | None:
    """The queued job of this kind whose turn it is, moved to `starting`, or None. Call inside a write transaction."""
    waiting = select(Job).where(Job.state == JobState.QUEUED, Job.kind == kind)
    query = waiting.order_by(col(Job.priority).desc(), col(Job.queued_at))
    job = session.exec(query.limit(1).with_for_update(skip_locked=True)).first()
    if job is not None:
        transition(session, job, JobState.STARTING, reason="its turn in the queue")
        job.attempt += 1
        job.started_at = utc_now()
    return job


def transition(session: Session, job: Job, target: JobState, *, reason: str) -> None:
    """Move `job` to `target` and write the change down. The only writer of a job's state.

    Raises:
        InvalidTransition: `target` may not follow the present state.
    """
    source = JobState(job.state)
    check_transition(job.job_id, source, target)
    job.state = target
    now = utc_now()
    if target in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED):
        # A run that ended while no studio was there has told when.
        job.finished_at = now if job.finished_at is None else job.finished_at
    if target is JobState.STOPPING:
        job.stopping_at = now
    job.revision += 1
    session.add(JobTransition(job=job.id, source=source, target=target, reason=reason))
    session.add(job)
    activity.record_transition(session, job, target)


def requeue(session: Session, job: Job, *, reason: str) -> None:
    """Put an ended job back into the queue; what it left in its folder is gone on from.

    Raises:
        InvalidTransition: the job has not ended, or was completed.
    """
    transition(session, job, JobState.QUEUED, reason=reason)
    job.queued_at, job.finished_at, job.stopping_at = utc_now(), None, None
    job.error_code = job.error_message = job.exit_code = None
    job.pid = job.process_started = job.boot_id = job.nonce = None
    job.progress, job.message, job.stage = 0.0, "", ""
    session.add(job)


def fail_job(session: Session, job: Job, target: JobState, *, code: str, message: str) -> None:
    """End `job` as failed or interrupted, with the cause."""
    job.error_code, job.error_message = code, message
    transition(session, job, target, reason=message)


def apply_events(session: Session, job: Job, events: Sequence[Event], *, offset: int) -> None:
    """Record what `job` reported and the byte offset read up to, to be committed together: each event counts once."""
    for event in events:
        _apply(session, job, event)
    job.events_offset = offset
    job.heartbeat_at = utc_now()
    job.revision += 1
    session.add(job)


def _apply(session: Session, job: Job, event: Event) -> None:
    if job.state == JobState.STARTING:
        transition(session, job, JobState.RUNNING, reason="the process reported")
    match event:
        case StageStarted():
            job.stage, job.message, job.progress = event.stage, event.message, max(job.progress, event.progress)
            if event.stage == "training":
                job.facts = {**job.facts, "training_started_at": event.time}
        case StepLogged():
            job.step, job.total_steps, job.epoch = event.step, event.total_steps, event.epoch
            job.latest = {**job.latest, **event.metrics}
            job.facts = {**job.facts, "step_at": event.time}
            job.progress = _training_progress(event.step, event.total_steps)
            _add_metrics(session, job, event.step, event.metrics)
        case EvaluationFinished():
            job.latest = {**job.latest, **event.metrics}
            _add_metrics(session, job, event.step, event.metrics)
        case ScoresComputed():
            job.latest = {**job.latest, **event.metrics}
            job.facts = {**job.facts, "scored_rows": event.rows}
            _add_metrics(session, job, event.step, event.metrics)
        case SamplesAnswered():
            job.facts = {**job.facts, "samples_step": event.step}
        case ModelLoaded() | DataLoaded() | DatasetImported() | RunMeasured():
            job.facts = {**job.facts, **event.model_dump(mode="json", exclude={"time", "type"})}
        case CheckpointSaved():
            steps = {*job.facts.get("checkpoints", []), event.step}
            job.facts = {**job.facts, "checkpoints": sorted(steps)}
        case ArtifactSaved():
            # A job that is tried again saves its results again.
            session.exec(delete(Artifact).where(col(Artifact.job) == job.id, col(Artifact.kind) == event.kind))
            session.add(Artifact(job=job.id, kind=event.kind, path=event.path, size_bytes=event.size_bytes))
        case ExportDelivered():
            job.facts = {**job.facts, "delivered": {**job.facts.get("delivered", {}), event.destination: event.address}}
        case TrackerLinked():
            job.facts = {**job.facts, "trackers": {**job.facts.get("trackers", {}), event.tracker: event.url}}
        case WarningRaised():
            warnings = [*job.facts.get("warnings", []), {"code": event.code, "message": event.message}]
            job.facts = {**job.facts, "warnings": warnings}
        case TransferProgressed():
            base = job.facts.get("transfer_base")
            if base is None or base["attempt"] != job.attempt:
                # What an earlier attempt had fetched says nothing about the rate of this one.
                base = {"attempt": job.attempt, "bytes_done": event.bytes_done, "time": event.time}
            moved = event.model_dump(mode="json", exclude={"type"})
            job.facts = {**job.facts, "transfer": moved, "transfer_base": base}
            job.message = event.message or job.message
            job.progress = max(job.progress, _transfer_progress(event))
        case JobCompleted():
            job.stopped_early, job.progress = event.stopped_early, 1.0
            job.message = _DONE[event.stop_reason]
            if event.stop_reason is not None:
                job.facts = {**job.facts, "stop_reason": event.stop_reason}
            job.latest = {**job.latest, **event.metrics}
            job.finished_at = datetime.fromtimestamp(event.time, UTC)
        case JobFailed():
            job.finished_at = datetime.fromtimestamp(event.time, UTC)
            job.error_code, job.error_message = event.code, event.message


def _transfer_progress(event: TransferProgressed) -> float:
    if not event.bytes_total:
        return 0.0
    start, end = STAGE_PROGRESS["fetching"], STAGE_PROGRESS["reading"]
    return start + (end - start) * min(1.0, event.bytes_done / event.bytes_total)


def _training_progress(step: int, total_steps: int) -> float:
    start, end = STAGE_PROGRESS["training"], STAGE_PROGRESS["saving"]
    return start + (end - start) * min(1.0, step / total_steps if total_steps else 0.0)


def _add_metrics(session: Session, job: Job, step: int, metrics: dict[str, float]) -> None:
    # A resumed run logs some steps again: the later value counts, under a new row id, so that pages see it.
    session.exec(
        delete(Metric).where(col(Metric.job) == job.id, col(Metric.step) == step, col(Metric.name).in_(metrics))
    )
    for name, value in metrics.items():
        session.add(Metric(job=job.id, step=step, name=name, value=value))


def metrics_since(session: Session, job: Job, *, since: int = 0, limit: int = 20_000) -> Sequence[Metric]:
    """Values with a row id above `since`, in the order they were logged."""
    query = select(Metric).where(Metric.job == job.id, col(Metric.id) > since).order_by(col(Metric.id))
    return session.exec(query.limit(limit)).all()


def artifacts_of(session: Session, job: Job) -> Sequence[Artifact]:
    """Results of `job`, the first saved first."""
    return session.exec(select(Artifact).where(Artifact.job == job.id).order_by(col(Artifact.created_at))).all()


def transitions_of(session: Session, job: Job) -> list[dict[str, Any]]:
    """The job's history of states."""
    query = select(JobTransition).where(JobTransition.job == job.id).order_by(col(JobTransition.id))
    return [
        {"from": row.source, "to": row.target, "reason": row.reason, "at": row.created_at}
        for row in session.exec(query)
    ]
