"""What a run measures of itself: recorded, in the manifest, and of this attempt only."""

import time
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from pipeline.events import Event, RunMeasured, StageStarted
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.measurements import Measurements, ProcessMemory
from pipeline.run_dir import RunDir
from pipeline.run_meter import tokens_per_step
from tests.pipeline.conftest import MakeConfig

EVALUATED = {
    "eval_strategy": "steps",
    "eval_steps": 3,
    "save_strategy": "steps",
    "save_steps": 3,
    "save_total_limit": 9,
}


def run(make_config: MakeConfig, folder: Path, **sections: Any) -> tuple[Measurements, list[Event]]:
    tracker = JobTracker(RunDir(folder))
    folder.mkdir(exist_ok=True)
    with tracker:
        FineTuneJob(make_config(**sections), tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    (told,) = [event for event in events if isinstance(event, RunMeasured)]
    manifest = tracker.run_dir.read_manifest()
    assert manifest is not None
    assert manifest.measured == told.measured
    return told.measured, events


def test_run_tells_what_it_took(make_config: MakeConfig, tmp_path: Path) -> None:
    began = time.perf_counter()
    measured, events = run(make_config, tmp_path / "run", training={"max_steps": 6, **EVALUATED})
    elapsed = time.perf_counter() - began
    assert measured.device
    assert isinstance(measured.memory, ProcessMemory)
    assert measured.memory.since == "training"
    assert measured.steps == 6
    assert measured.step_seconds is not None
    assert 0 < measured.step_seconds < elapsed
    assert measured.tokens_per_second is not None
    assert measured.tokens_per_second > 0
    order = [event.stage if isinstance(event, StageStarted) else event.type for event in events]
    assert order.index("training") < order.index("run_measured") < order.index("saving")


def test_resumed_run_measures_its_own_steps(make_config: MakeConfig, tmp_path: Path) -> None:
    training = {"max_steps": 7, **EVALUATED}
    run(make_config, tmp_path / "whole", training=training)
    (tmp_path / "resumed").mkdir()
    copytree(tmp_path / "whole" / "checkpoints" / "checkpoint-3", tmp_path / "resumed" / "checkpoints" / "checkpoint-3")
    measured, _ = run(make_config, tmp_path / "resumed", training=training)
    assert measured.steps == 4


@pytest.mark.parametrize(
    ("history", "since", "tokens"),
    [
        ([], 0, None),
        ([{"step": 10, "num_tokens": 500.0}, {"step": 12, "loss": 1.0}], 0, 50.0),
        ([{"step": 10, "num_tokens": 500.0}, {"step": 20, "num_tokens": 1500.0}], 0, 75.0),
        ([{"step": 10, "num_tokens": 500.0}, {"step": 20, "num_tokens": 1500.0}], 10, 100.0),
        ([{"step": 10, "num_tokens": 500.0}, {"step": 20, "num_tokens": 1500.0}], 14, 100.0),
        ([{"step": 10, "num_tokens": 500.0}], 10, None),
    ],
    ids=["nothing logged", "since the start", "mean", "resumed", "resumed between logs", "nothing since"],
)
def test_tokens_of_a_step_follow_from_the_log(
    history: list[dict[str, float]], since: int, tokens: float | None
) -> None:
    assert tokens_per_step(history, since=since) == tokens
