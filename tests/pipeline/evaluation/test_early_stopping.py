"""Early stopping and the best checkpoint: where a run ends, why, and with which weights."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.config import FineTuneJobConfig
from pipeline.evaluation.best_metric import best_metric
from pipeline.evaluation.early_stopping import evaluations_since_best
from pipeline.events import CheckpointSaved, EvaluationFinished, JobCompleted
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from tests.documents import DEMO_MODEL, DEMO_TEST
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.evaluation.method_rows import METHODS, PAIRS
from tests.tiny_gemma import write_jsonl

TRAINING = {
    "max_steps": 12,
    "learning_rate": 0.003,
    "per_device_batch_size": 4,
    "lr_scheduler": "constant",
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_total_limit": 20,
}


@pytest.fixture
def contrary(tmp_path: Path) -> dict[str, Any]:
    """A model that can do the task of the held-out rows a little, and training rows that teach it not to."""
    orders = [json.loads(line)["messages"] for line in DEMO_TEST.read_text(encoding="utf-8").splitlines()[:40]]
    refusal = {"role": "assistant", "content": "The workshop is closed."}
    train = [{"messages": [question, refusal]} for question, _ in orders[8:]]
    held_out = [{"messages": turns} for turns in orders[:8]]
    return {
        "model": {"base_model": str(DEMO_MODEL), "precision": "fp32"},
        "dataset": {
            "path": str(write_jsonl(tmp_path / "train.jsonl", train)),
            "eval_path": str(write_jsonl(tmp_path / "held_out.jsonl", held_out)),
        },
    }


def run(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[dict[int, float], JobCompleted]:
    """The loss of the held-out rows by step, and the last event."""
    FineTuneJob(config, tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    losses = {event.step: event.metrics["eval_loss"] for event in events if isinstance(event, EvaluationFinished)}
    assert isinstance(events[-1], JobCompleted)
    return losses, events[-1]


def saved_weights(tracker: JobTracker, kind: str) -> dict[str, torch.Tensor]:
    name = "adapter_model" if kind == "lora" else "model"
    return load_file(tracker.run_dir.artifact("adapter" if kind == "lora" else "model") / f"{name}.safetensors")


def checkpoint_weights(tracker: JobTracker, step: int, kind: str) -> dict[str, torch.Tensor]:
    name = "adapter_model" if kind == "lora" else "model"
    return load_file(tracker.run_dir.checkpoints / f"checkpoint-{step}" / f"{name}.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_kept_weights_are_those_of_the_best_evaluation(
    make_config: MakeConfig, tracker: JobTracker, contrary: dict[str, Any], kind: str
) -> None:
    config = make_config(
        **contrary,
        tuning={"kind": kind},
        training={**TRAINING, "save_strategy": "no"},
        evaluation={"keep_best": True},
    )
    losses, completed = run(config, tracker)
    best = min(losses, key=lambda step: losses[step])
    assert list(losses) == [2, 4, 6, 8, 10, 12]
    assert best < 12, losses
    saved = saved_weights(tracker, kind)
    assert equal(saved, checkpoint_weights(tracker, best, kind))
    assert not equal(saved, checkpoint_weights(tracker, 12, kind))
    assert completed.metrics["eval_loss"] == losses[best]
    assert completed.stop_reason is None
    assert not completed.stopped_early


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("keep_best", [False, True])
def test_run_ends_when_evaluations_get_no_better(
    make_config: MakeConfig, tracker: JobTracker, contrary: dict[str, Any], kind: str, keep_best: bool
) -> None:
    config = make_config(
        **contrary,
        tuning={"kind": kind},
        training={**TRAINING, "save_strategy": "steps", "save_steps": 2},
        evaluation={"early_stopping": 2, "keep_best": keep_best},
    )
    losses, completed = run(config, tracker)
    values = list(losses.values())
    assert len(values) < 6
    assert evaluations_since_best(values, higher_is_better=False) == 2
    assert (completed.stopped_early, completed.stop_reason) == (True, "no_improvement")
    manifest = tracker.run_dir.read_manifest()
    assert manifest is not None
    assert manifest.stop_reason == "no_improvement"
    steps = list(losses)
    expected = steps[-3] if keep_best else steps[-1]
    assert equal(saved_weights(tracker, kind), checkpoint_weights(tracker, expected, kind))
    assert completed.metrics["eval_loss"] == losses[expected]


@pytest.mark.parametrize("kind", [*METHODS, "reward"])
def test_every_method_keeps_the_best_by_its_own_value(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, kind: str
) -> None:
    method, rows = ({"kind": "reward"}, PAIRS) if kind == "reward" else METHODS[kind]
    config = make_config(
        method=method,
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0.2},
        training={**TRAINING, "max_steps": 8, "learning_rate": 0.05},
        evaluation={"keep_best": True, "early_stopping": 3, "samples": 0},
    )
    FineTuneJob(config, tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    name, higher = best_metric(config.method.kind)
    values = {event.step: event.metrics[name] for event in events if isinstance(event, EvaluationFinished)}
    best = (max if higher else min)(values, key=lambda step: values[step])
    assert list(values) == [2, 4, 6, 8]
    assert equal(saved_weights(tracker, "lora"), checkpoint_weights(tracker, best, "lora"))
    assert isinstance(events[-1], JobCompleted)
    assert events[-1].metrics[name] == values[best]


def test_best_of_each_epoch_is_kept_among_few_checkpoints(
    make_config: MakeConfig, tracker: JobTracker, contrary: dict[str, Any]
) -> None:
    training: dict[str, Any] = {
        **TRAINING,
        "max_steps": None,
        "epochs": 4,
        "per_device_batch_size": 20,
        "eval_strategy": "epoch",
        "save_strategy": "steps",
        "save_total_limit": 1,
    }
    losses, _ = run(make_config(**contrary, training=training, evaluation={"keep_best": True}), tracker)
    best = min(losses, key=lambda step: losses[step])
    assert list(losses) == [2, 4, 6, 8]
    assert equal(saved_weights(tracker, "lora"), checkpoint_weights(tracker, best, "lora"))


def test_resumed_run_remembers_its_evaluations(
    make_config: MakeConfig, tracker: JobTracker, contrary: dict[str, Any]
) -> None:
    kept = {"keep_best": True, "samples": 0}
    before, _ = run(make_config(**contrary, training={**TRAINING, "max_steps": 8}, evaluation=kept), tracker)
    worse = evaluations_since_best(list(before.values()), higher_is_better=False)
    assert worse > 0, before
    tracker.run_dir.events_file.unlink()
    after, completed = run(
        make_config(**contrary, training=TRAINING, evaluation={**kept, "early_stopping": worse + 1}), tracker
    )
    assert list(after) == [10]
    assert completed.stop_reason == "no_improvement"
    best = min(before, key=lambda step: before[step])
    assert equal(saved_weights(tracker, "lora"), checkpoint_weights(tracker, best, "lora"))


def test_stop_by_hand_is_told_from_one_by_itself(make_config: MakeConfig, tracker: JobTracker) -> None:
    tracker.run_dir.request_stop()
    _, completed = run(make_config(training=TRAINING, evaluation={"early_stopping": 1}), tracker)
    assert (completed.stopped_early, completed.stop_reason) == (True, "requested")


def test_checkpoints_are_only_those_asked_for_without_keep_best(make_config: MakeConfig, tracker: JobTracker) -> None:
    run(make_config(training={**TRAINING, "save_strategy": "no"}), tracker)
    events, _ = tracker.run_dir.read_events()
    assert not any(isinstance(event, CheckpointSaved) for event in events)
    assert not Path(tracker.run_dir.checkpoints, "checkpoint-2").exists()


@pytest.mark.parametrize(
    ("values", "higher", "expected"),
    [
        ([], False, 0),
        ([1.0], False, 0),
        ([1.0, 1.0], False, 1),
        ([3.0, 2.0, 2.5, 2.5], False, 2),
        ([3.0, 2.0, 1.0], False, 0),
        ([0.1, 0.5, 0.4], True, 1),
        ([math.nan, math.inf], False, 2),
        ([math.nan, 2.0, math.nan], False, 1),
    ],
)
def test_evaluations_since_the_best_are_counted(values: list[float], higher: bool, expected: int) -> None:
    assert evaluations_since_best(values, higher_is_better=higher) == expected


def test_grpo_is_compared_by_its_reward() -> None:
    assert best_metric("grpo") == ("eval_reward", True)
    assert best_metric("dpo") == best_metric("sft") == ("eval_loss", False)
