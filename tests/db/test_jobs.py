"""Jobs in the database: claims are exclusive, events count once, history is kept."""

import threading

import pytest

from db import activity, jobs
from db.database import Database
from db.models import Job
from db.states import JobState
from pipeline.events import (
    ArtifactSaved,
    EvaluationFinished,
    JobCompleted,
    JobFailed,
    Sample,
    SamplesAnswered,
    ScoresComputed,
    StageStarted,
    StepLogged,
    TrackerLinked,
    WarningRaised,
)
from pipeline.validation import parse_job_config
from tests.documents import demo_document


def submit(database: Database, **training: object) -> Job:
    with database.write() as session:
        return jobs.create_job(session, parse_job_config(demo_document(**training)), owner="ana")


def step(number: int) -> StepLogged:
    return StepLogged(step=number, total_steps=10, epoch=number / 10, metrics={"loss": 1 / number})


def test_job_ids_are_readable_and_unique(database: Database) -> None:
    first, second = submit(database), submit(database)
    assert first.job_id.startswith("training_gem-orders_gemma-nano_")
    assert second.job_id == f"{first.job_id}-2"


def test_oldest_of_the_highest_priority_is_claimed_first(database: Database) -> None:
    submitted = [submit(database, seed=seed) for seed in range(3)]
    with database.write() as session:
        job = jobs.get_job(session, submitted[2].id)
        job.priority = 1
        session.add(job)
    claimed = []
    for _ in range(4):
        with database.write() as session:
            job = jobs.claim_next(session)
        claimed.append(None if job is None else job.id)
    assert claimed == [submitted[2].id, submitted[0].id, submitted[1].id, None]


def test_two_threads_never_claim_the_same_job(database: Database) -> None:
    expected = {submit(database, seed=seed).id for seed in range(8)}
    claimed: list[str] = []

    def work() -> None:
        while True:
            with database.write() as session:
                job = jobs.claim_next(session)
            if job is None:
                return
            claimed.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(expected)
    assert set(claimed) == expected


def test_events_become_state_metrics_and_results(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        events = [
            StageStarted(stage="training", progress=0.4, message="Training on 800 rows"),
            step(1),
            step(2),
            EvaluationFinished(step=2, metrics={"eval_loss": 0.5}),
            WarningRaised(code="slow", message="Slow disk."),
            ArtifactSaved(kind="adapter", path="adapter", size_bytes=10),
            JobCompleted(metrics={"train_loss": 0.7}),
        ]
        jobs.apply_events(session, job, events, offset=123)
    with database.read() as session:
        stored = jobs.get_job(session, job.id)
        metrics = jobs.metrics_since(session, stored)
        artifacts = jobs.artifacts_of(session, stored)
    assert (stored.state, stored.stage, stored.step, stored.total_steps) == ("running", "training", 2, 10)
    assert stored.events_offset == 123
    assert stored.progress == 1.0
    assert stored.facts["warnings"] == [{"code": "slow", "message": "Slow disk."}]
    assert [(metric.step, metric.name, metric.value) for metric in metrics] == [
        (1, "loss", 1.0),
        (2, "loss", 0.5),
        (2, "eval_loss", 0.5),
    ]
    assert [artifact.kind for artifact in artifacts] == ["adapter"]


def test_address_of_the_run_at_each_tracker_is_kept(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        links = [TrackerLinked(tracker=name, url=f"https://{name}.example.org/{n}") for n, name in enumerate("aba")]
        jobs.apply_events(session, job, links, offset=1)
    with database.read() as session:
        stored = jobs.get_job(session, job.id)
    assert stored.facts["trackers"] == {"a": "https://a.example.org/2", "b": "https://b.example.org/1"}


def test_scores_and_samples_are_recorded(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        events = [
            SamplesAnswered(step=4, samples=[Sample(row=1, prompt="How many?", reference="Two.", answer="Two.")]),
            ScoresComputed(step=9, rows=5, base={"exact_match": 20.0}, tuned={"exact_match": 80.0}),
            JobCompleted(stopped_early=True, stop_reason="no_improvement", metrics={"train_loss": 0.7}),
        ]
        jobs.apply_events(session, job, events, offset=1)
    with database.read() as session:
        stored = jobs.get_job(session, job.id)
        metrics = jobs.metrics_since(session, stored)
    assert [(metric.step, metric.name, metric.value) for metric in metrics] == [
        (9, "score/base/exact_match", 20.0),
        (9, "score/tuned/exact_match", 80.0),
    ]
    assert stored.latest["score/tuned/exact_match"] == 80.0
    assert stored.facts["samples_step"] == 4
    assert (stored.stopped_early, stored.facts["stop_reason"]) == (True, "no_improvement")
    assert stored.message == "Stopped early: the evaluations did not get better any more"


def test_metrics_are_returned_after_the_cursor_only(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        jobs.apply_events(session, job, [step(1), step(2), step(3)], offset=1)
    with database.read() as session:
        everything = jobs.metrics_since(session, job)
        rest = jobs.metrics_since(session, job, since=everything[0].id or 0)
    assert [metric.step for metric in rest] == [2, 3]


def test_step_that_is_logged_again_replaces_its_value(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        jobs.apply_events(session, job, [step(1), step(2)], offset=1)
    again = StepLogged(step=2, total_steps=10, epoch=0.2, metrics={"loss": 0.25})
    with database.write() as session:
        seen = jobs.metrics_since(session, job)[-1].id or 0
        jobs.apply_events(session, jobs.get_job(session, job.id), [again], offset=2)
    with database.read() as session:
        everything = jobs.metrics_since(session, job)
        fresh = jobs.metrics_since(session, job, since=seen)
    assert [(metric.step, metric.value) for metric in everything] == [(1, 1.0), (2, 0.25)]
    assert [metric.value for metric in fresh] == [0.25]


def test_failure_reaches_the_feed_with_its_sentence(database: Database) -> None:
    submit(database)
    with database.write() as session:
        job = jobs.claim_next(session)
        assert job is not None
        jobs.apply_events(session, job, [JobFailed(code="data_problem", message="Row 3 is not JSON.")], offset=1)
        jobs.fail_job(session, job, JobState.FAILED, code="data_problem", message="Row 3 is not JSON.")
    with database.read() as session:
        entries, _ = activity.list_activity(session, owner="ana")
        history = jobs.transitions_of(session, job)
    assert (entries[0].title, entries[0].message, entries[0].status) == ("demo failed", "Row 3 is not JSON.", "error")
    assert [(row["from"], row["to"]) for row in history] == [
        ("", "queued"),
        ("queued", "starting"),
        ("starting", "running"),
        ("running", "failed"),
    ]


def test_feed_belongs_to_its_owner(database: Database) -> None:
    submit(database)
    with database.write() as session:
        assert activity.mark_read(session, owner="ben") == 0
        assert activity.unread_count(session, owner="ana") == 1
        assert activity.mark_read(session, owner="ana") == 1
    with database.read() as session:
        assert activity.list_activity(session, owner="ben") == ([], 0)
        assert activity.unread_count(session, owner="ana") == 0


def test_unknown_job_is_named(database: Database) -> None:
    with database.read() as session, pytest.raises(jobs.NotFound, match="no run with the id 'nope'"):
        jobs.get_job(session, "nope")
