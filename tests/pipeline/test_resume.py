"""A run that goes on from a checkpoint: its values are those of a run that was never interrupted."""

from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.checkpoints import STATE_FILE, last_checkpoint
from pipeline.config import FineTuneJobConfig
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig

STEPS = 9


def run(config: FineTuneJobConfig, folder: Path) -> RunDir:
    run_dir = RunDir(folder)
    run_dir.path.mkdir(exist_ok=True)
    FineTuneJob(config, run_dir, JobTracker(run_dir)).run()
    return run_dir


def values(run_dir: RunDir, name: str) -> dict[int, float]:
    events, _ = run_dir.read_events()
    steps = [event for event in events if isinstance(event, (StepLogged, EvaluationFinished))]
    return {event.step: event.metrics[name] for event in steps if name in event.metrics}


@pytest.mark.parametrize(
    "sections",
    [
        {"tuning": {"dropout": 0.3}},
        {"tuning": {"kind": "full"}},
        {"training": {"batching": "random", "gradient_accumulation_steps": 2}},
    ],
    ids=["lora with dropout", "full", "random order with accumulation"],
)
def test_resumed_run_has_the_values_of_an_unbroken_one(
    make_config: MakeConfig, tmp_path: Path, sections: dict[str, Any]
) -> None:
    training = {
        "max_steps": STEPS,
        "per_device_batch_size": 4,
        "save_strategy": "steps",
        "save_steps": 4,
        "save_total_limit": 9,
        "eval_strategy": "steps",
        "eval_steps": 4,
        **sections.get("training", {}),
    }
    config = make_config(**{**sections, "training": training})
    unbroken = run(config, tmp_path / "unbroken")
    interrupted = RunDir(tmp_path / "interrupted")
    interrupted.path.mkdir()
    copytree(unbroken.checkpoints / "checkpoint-4", interrupted.checkpoints / "checkpoint-4")
    # What a run that is killed while it writes leaves behind.
    copytree(unbroken.checkpoints / "checkpoint-8", interrupted.checkpoints / "checkpoint-8")
    (interrupted.checkpoints / "checkpoint-8" / STATE_FILE).unlink()
    resumed = run(config, interrupted.path)
    for name in ("loss", "grad_norm", "learning_rate", "num_tokens", "eval_loss"):
        wanted, found = values(unbroken, name), values(resumed, name)
        assert found
        assert all(step > 4 for step in found)
        assert found == pytest.approx({step: value for step, value in wanted.items() if step > 4}, rel=1e-6), name
    kind = "model" if config.tuning.kind == "full" else "adapter"
    (file,) = unbroken.artifact(kind).glob("*.safetensors")
    before, after = load_file(file), load_file(resumed.artifact(kind) / file.name)
    assert all(torch.allclose(after[name], tensor, rtol=1e-6, atol=1e-8) for name, tensor in before.items())


def test_last_checkpoint_is_the_highest_whole_one(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    for step in (5, 10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / STATE_FILE).write_text("{}" if step != 20 else '{"cut', encoding="utf-8")
    (tmp_path / "checkpoint-30-partial").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    rmtree(tmp_path / "checkpoint-10")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-5"
