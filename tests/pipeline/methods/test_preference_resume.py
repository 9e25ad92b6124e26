"""A run on preference pairs that goes on from a checkpoint has the values of an unbroken one, and its reference."""

from pathlib import Path
from shutil import copytree

import pytest

from pipeline.config import FineTuneJobConfig
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import make_run


def run(config: FineTuneJobConfig, run_dir: RunDir) -> dict[tuple[int, str], float]:
    """The logged values by step and name, those of the clock aside."""
    run_dir.path.mkdir(exist_ok=True)
    with JobTracker(run_dir) as tracker:
        FineTuneJob(config, run_dir, tracker).run()
    events = [event for event in run_dir.read_events()[0] if isinstance(event, (StepLogged, EvaluationFinished))]
    return {
        (event.step, name): value
        for event in events
        for name, value in event.metrics.items()
        if not name.endswith(("per_second", "runtime", "memory_bytes"))
    }


@pytest.mark.parametrize(
    ("kind", "tuning"), [("dpo", "lora"), ("dpo", "full"), ("orpo", "lora"), ("reward", "lora"), ("reward", "full")]
)
def test_resumed_run_has_the_values_of_an_unbroken_one(
    make_config: MakeConfig, tmp_path: Path, kind: str, tuning: str
) -> None:
    training = {"max_steps": 5, "save_strategy": "steps", "save_steps": 3, "eval_steps": 5}
    config = make_run(make_config, tmp_path, kind, tuning={"kind": tuning}, training=training)
    unbroken, interrupted = RunDir(tmp_path / "unbroken"), RunDir(tmp_path / "interrupted")
    wanted = {key: value for key, value in run(config, unbroken).items() if key[0] > 3}
    interrupted.path.mkdir()
    copytree(unbroken.checkpoints / "checkpoint-3", interrupted.checkpoints / "checkpoint-3")
    found = run(config, interrupted)
    assert {(4, "loss"), (5, "num_tokens"), (5, "eval_loss")} <= found.keys()
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-6)
