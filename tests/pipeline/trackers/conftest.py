"""Runs without a model: the events of one, with real trackers beside it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.config import FineTuneJobConfig
from pipeline.events import (
    DataLoaded,
    EvaluationFinished,
    Event,
    JobCompleted,
    ModelLoaded,
    StageStarted,
    StepLogged,
    TrackerLinked,
    WarningRaised,
)
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.trackers.processes import TrackerProcesses
from pipeline.validation import parse_job_config

Play = Callable[..., list[Event]]


def step(number: int) -> StepLogged:
    metrics = {"loss": 1 / (number + 1), "learning_rate": 1e-4 * number}
    return StepLogged(step=number, total_steps=4, epoch=number / 4, metrics=metrics)


RUN: tuple[Event, ...] = (
    StageStarted(stage="preparing", progress=0, message="Starting stones"),
    ModelLoaded(parameters=1000, trainable_parameters=10, device="cpu", precision="fp32", attention="sdpa"),
    DataLoaded(
        train_rows=38, eval_rows=2, tokens=700, trained_tokens=300, max_length=64, truncated_rows=0, dropped_rows=0
    ),
    step(1),
    step(2),
    EvaluationFinished(step=2, metrics={"eval_loss": 0.4}),
    step(3),
    step(4),
    EvaluationFinished(step=4, metrics={"eval_loss": 0.3}),
    JobCompleted(metrics={"train_loss": 0.5}),
)
"""The events of a run of four steps."""

TRAIN_LOSS = [(number, 1 / (number + 1)) for number in (1, 2, 3, 4)]
EVAL_LOSS = [(2, 0.4), (4, 0.3)]


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """A run folder, not made yet."""
    return RunDir(tmp_path / "run")


@pytest.fixture
def play(run_dir: RunDir) -> Play:
    """Plays the events of a run with the trackers of these settings; returns what the run recorded."""

    def play(
        events: Sequence[Event] = RUN, *, environment: dict[str, str] | None = None, **tracking: Any
    ) -> list[Event]:
        config = config_with(**tracking)
        run_dir.create(config)
        variables = {**os.environ, **({} if environment is None else environment)}
        with TrackerProcesses(run_dir, variables) as trackers, JobTracker(run_dir, trackers.hear) as job:
            trackers.start(config, job)
            for event in events:
                job.record(event)
        return run_dir.read_events()[0]

    return play


def config_with(**tracking: Any) -> FineTuneJobConfig:
    """A job document with these settings of its tracking section."""
    return parse_job_config(
        {
            "name": "stones",
            "model": {"base_model": "acme/stone"},
            "dataset": {"path": "/home/ana/secret-project/stones.jsonl"},
            "tracking": {"wait_seconds": 20, **tracking},
        }
    )


def children() -> list[psutil.Process]:
    """The processes of trackers that this process has started."""
    return [child for child in psutil.Process().children() if "pipeline.trackers" in child.cmdline()]


def warnings_of(events: Sequence[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, WarningRaised)]


def links_of(events: Sequence[Event]) -> list[str]:
    return [event.url for event in events if isinstance(event, TrackerLinked)]
