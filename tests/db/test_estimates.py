"""Past predictions in the database: those of completed runs on the same device, the latest first."""

from datetime import timedelta
from typing import Any

import pytest

from db import estimates, jobs
from db.columns import utc_now
from db.database import Database
from db.states import JobState
from pipeline.estimate_history import EstimateHistory
from pipeline.events import RunMeasured
from pipeline.measurements import GpuMemory, Measurements
from pipeline.validation import parse_job_config
from tests.documents import demo_document
from tests.estimates import DEVICE, estimate, measurements

ESTIMATE = estimate().model_dump(mode="json")


def took(peak: int, **changes: Any) -> Measurements:
    return measurements(GpuMemory(allocated=peak, reserved=peak, outside=0), **changes)


def finish(
    database: Database,
    measured: Measurements,
    *,
    facts: dict[str, Any] | None,
    state: JobState = JobState.COMPLETED,
    age: int = 0,
) -> None:
    """A run that was submitted with `facts`, measured itself, and ended."""
    with database.write() as session:
        job = jobs.create_job(session, parse_job_config(demo_document()), owner="ana", dataset_name="gems", facts=facts)
        assert job.facts == {**(facts or {}), "dataset_name": "gems"}
        jobs.transition(session, job, JobState.STARTING, reason="its turn")
        jobs.apply_events(session, job, [RunMeasured(measured=measured)], offset=1)
        jobs.transition(session, job, state, reason="it ended")
        job.finished_at = utc_now() - timedelta(days=age)
        session.add(job)


def history(database: Database) -> EstimateHistory:
    with database.read() as session:
        return estimates.history_on(session, DEVICE)


def test_measurements_stay_with_the_job_and_make_the_history(database: Database) -> None:
    finish(database, took(1200), facts={"estimate": ESTIMATE})
    finish(database, took(1100, step_seconds=3.0), facts={"estimate": ESTIMATE})
    known = history(database)
    assert known.memory is not None
    assert known.time is not None
    assert (known.memory.runs, known.memory.median_ratio) == (2, pytest.approx(1.15))
    assert (known.time.runs, known.time.median_ratio) == (2, pytest.approx(1.25))


def test_runs_that_tell_nothing_are_left_out(database: Database) -> None:
    finish(database, took(1200), facts=None)
    finish(database, took(1200, device="NVIDIA T4"), facts={"estimate": estimate("NVIDIA T4").model_dump(mode="json")})
    finish(database, took(1200), facts={"estimate": ESTIMATE}, state=JobState.FAILED)
    finish(database, took(1200), facts={"estimate": {"parameters": 1, "of": "another version"}})
    assert history(database) == EstimateHistory(DEVICE, None, None)


def test_only_the_latest_runs_are_remembered(database: Database) -> None:
    for age, peak in enumerate((1100, 1200, 1300, 9000, 9000)):
        finish(database, took(peak), facts={"estimate": ESTIMATE}, age=age)
    with database.read() as session:
        known = estimates.history_on(session, DEVICE, limit=3)
    assert known.memory is not None
    assert (known.memory.runs, known.memory.median_ratio) == (3, pytest.approx(1.2))
