"""A GRPO run that goes on from a checkpoint: its values are those of a run that was never interrupted."""

from pathlib import Path

import pytest

from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.grpo_runs import grpo_maker, run, values, write_prompts


def test_resumed_run_has_the_values_of_an_unbroken_one(make_config: MakeConfig, tmp_path: Path) -> None:
    """Over the end of an epoch of three steps."""
    training = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4, "save_total_limit": 9}
    config = grpo_maker(make_config, write_prompts(tmp_path / "prompts.jsonl"))(
        training=training, tuning={"dropout": 0.2}
    )
    unbroken = run(config, tmp_path / "unbroken")
    interrupted = RunDir(tmp_path / "interrupted")
    interrupted.path.mkdir()
    interrupted.checkpoints.mkdir()
    (unbroken.checkpoints / "checkpoint-4").rename(interrupted.checkpoints / "checkpoint-4")
    resumed = run(config, interrupted.path)
    names = ("loss", "grad_norm", "reward", "entropy", "num_tokens", "completions/mean_length")
    wanted = {key: value for key, value in values(unbroken, names).items() if key[0] > 4}
    assert len(wanted) == 4 * len(names)
    assert values(resumed, names) == pytest.approx(wanted, rel=1e-6, abs=1e-8)


def test_run_goes_on_between_two_updates_from_one_batch(make_config: MakeConfig, tmp_path: Path) -> None:
    """The answers of that batch are sampled anew; the next batch has its own as before."""
    training = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 9}
    config = grpo_maker(make_config, write_prompts(tmp_path / "prompts.jsonl"))(
        training=training, method={"num_iterations": 2}
    )
    unbroken = run(config, tmp_path / "unbroken")
    interrupted = RunDir(tmp_path / "interrupted")
    interrupted.path.mkdir()
    interrupted.checkpoints.mkdir()
    (unbroken.checkpoints / "checkpoint-3").rename(interrupted.checkpoints / "checkpoint-3")
    assert list(values(unbroken, ["reward"])) == [(1, "reward"), (3, "reward"), (5, "reward")]
    assert list(values(run(config, interrupted.path), ["reward"])) == [(4, "reward"), (5, "reward")]
