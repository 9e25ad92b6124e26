"""The states of a job and which may follow which."""

from enum import StrEnum

from pipeline.errors import UserError


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSING = "pausing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.CANCELLED}),
    JobState.STARTING: frozenset({JobState.RUNNING, JobState.STOPPING, JobState.FAILED, JobState.INTERRUPTED}),
    JobState.RUNNING: frozenset(
        {JobState.STOPPING, JobState.PAUSING, JobState.COMPLETED, JobState.FAILED, JobState.INTERRUPTED}
    ),
    JobState.STOPPING: frozenset({JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED}),
    JobState.PAUSING: frozenset({JobState.PAUSED, JobState.COMPLETED, JobState.FAILED, JobState.INTERRUPTED}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
    JobState.INTERRUPTED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
}

LIVE = frozenset({JobState.STARTING, JobState.RUNNING, JobState.STOPPING, JobState.PAUSING})
"""States in which a process of the job may exist."""

RESTING = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED})
"""States in which nothing happens until the user acts."""


class InvalidTransition(UserError):
    """The job cannot go from its state to the one asked for."""

    code = "invalid_transition"

    def __init__(self, job_id: str, source: JobState, target: JobState) -> None:
        super().__init__(f"{job_id} is {source}; it cannot become {target}. Reload the page to see where it stands.")


def check_transition(job_id: str, source: JobState, target: JobState) -> None:
    """Raise InvalidTransition unless `target` may follow `source`."""
    if target not in ALLOWED[source]:
        raise InvalidTransition(job_id, source, target)
