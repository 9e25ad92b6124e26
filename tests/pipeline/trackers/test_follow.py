"""Which values a tracker is told, and that no history of attempts tells one of them twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import Event, JobCompleted, JobFailed, ScoresComputed, StageStarted, WarningRaised
from pipeline.run_dir import RunDir
from pipeline.trackers.follow import follow, tell
from pipeline.trackers.told import Told, open_told
from tests.pipeline.trackers.conftest import RUN, step


class Recorder:
    """A tracker that keeps what it was told."""

    def __init__(self) -> None:
        self.values: list[tuple[int, dict[str, float]]] = []
        self.facts: list[dict[str, Any]] = []

    def log(self, values: Mapping[str, float], *, step: int, time: float) -> None:
        self.values.append((step, dict(values)))

    def describe(self, facts: Mapping[str, Any]) -> None:
        self.facts.append(dict(facts))

    def flush(self) -> None:
        """Nothing is kept back."""

    def finish(self, *, completed: bool) -> None:
        """Nothing to end."""


def attempt(run_dir: RunDir, *events: Event) -> tuple[Recorder, bool]:
    """What a tracker is told in an attempt that records these events."""
    for event in events:
        run_dir.append(event)
    recorder = Recorder()
    with open_told(run_dir.path / "told") as place:
        completed = follow(run_dir, recorder, place=place, run_ended=lambda: True)
    return recorder, completed


@pytest.fixture
def started(run_dir: RunDir) -> RunDir:
    run_dir.path.mkdir()
    return run_dir


def test_every_kind_of_value_has_its_curve(started: RunDir) -> None:
    scores = ScoresComputed(step=4, rows=2, base={"f1": 10.0}, tuned={"f1": 90.0})
    recorder, completed = attempt(started, *RUN[:-1], scores, RUN[-1])
    assert completed
    assert recorder.values[0] == (1, {"train/loss": 0.5, "train/learning_rate": 1e-4, "train/epoch": 0.25})
    assert recorder.values[2] == (2, {"eval/loss": 0.4})
    assert recorder.values[-2] == (4, {"score/base/f1": 10.0, "score/tuned/f1": 90.0})
    assert recorder.values[-1] == (4, {"result/train_loss": 0.5})
    assert [sorted(facts)[0] for facts in recorder.facts] == ["attention", "dropped_rows"]


def test_end_of_an_earlier_attempt_is_not_the_end(started: RunDir) -> None:
    failed = JobFailed(code="died", message="")
    again = StageStarted(stage="preparing", progress=0, message="again")
    assert not attempt(started, step(1), failed)[1]
    assert not attempt(started, again, step(2))[1]
    recorder, completed = attempt(started, JobCompleted(metrics={}), WarningRaised(code="late", message=""))
    assert completed
    assert recorder.values == [(2, {})]


def test_tracker_that_failed_at_first_is_told_everything_by_the_next_attempt(started: RunDir) -> None:
    started.append(step(1))
    recorder, _ = attempt(started, step(2))
    assert [number for number, _ in recorder.values] == [1, 2]


@given(st.lists(st.integers(1, 30), max_size=60))
def test_steps_that_are_told_only_grow(numbers: list[int]) -> None:
    recorder, told = Recorder(), Told()
    for number in numbers:
        tell(recorder, step(number), told=told)
    steps = [number for number, _ in recorder.values]
    assert steps == sorted(set(steps))
    assert set(steps) >= {max(numbers)} if numbers else steps == []


@given(st.builds(Told, *(st.integers(-1, 10**12) for _ in range(4))))
def test_place_survives_being_written_over(told: Told) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "told"
        for place in (Told(10**12, 10**12, 10**12, 10**12), told):
            with open_told(path) as file:
                file.told = place
                file.save()
        with open_told(path) as file:
            assert file.told == told
