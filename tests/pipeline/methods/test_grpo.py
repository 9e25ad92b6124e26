"""The GRPO method: its settings reach TRL, its rewards see what the rows say, its answers end where they should."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from pipeline.errors import DataProblem, InvalidConfig, RewardFailed
from pipeline.events import DataLoaded, EvaluationFinished, ModelLoaded, StepLogged
from pipeline.job_tracker import JobTracker
from pipeline.method_config import GrpoConfig
from pipeline.methods.grpo import build_trainer
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.grpo_runs import REWARDS, events_of, grpo_maker, logged, ours, prepare, run, write_prompts
from tests.tiny_gemma import write_jsonl


@pytest.fixture
def make_grpo(make_config: MakeConfig, tmp_path: Path) -> MakeConfig:
    """Makes documents of quick GRPO runs without evaluation."""
    return grpo_maker(make_config, write_prompts(tmp_path / "prompts.jsonl"))


# Each setting of the method, a value for it, and where it is seen; the rewards' own are in tests/pipeline/rewards.
FIELDS: dict[str, tuple[Any, str]] = {
    "num_generations": (2, "num_generations"),
    "max_completion_length": (7, "max_completion_length"),
    "temperature": (0.3, "temperature"),
    "top_p": (0.4, "top_p"),
    "kl_coefficient": (0.7, "beta"),
    "policy_loss": ("bnpo", "loss_type"),
    "scale_rewards": ("none", "scale_rewards"),
    "num_iterations": (3, "num_iterations"),
}


def test_every_field_is_looked_at() -> None:
    assert set(GrpoConfig.model_fields) == {"kind", "rewards", *FIELDS}


@pytest.mark.parametrize("field", FIELDS)
def test_field_reaches_the_trainer(make_grpo: MakeConfig, tracker: JobTracker, field: str) -> None:
    value, name = FIELDS[field]
    before, after = ours(make_grpo(), tracker), ours(make_grpo(method={field: value}), tracker)
    assert vars(after.args)[name] == vars(after)[name] == value
    assert vars(before)[name] != value


def test_rewards_reach_the_trainer(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_grpo(method={"rewards": [{"kind": "length", "weight": 3}, {"kind": "length"}]}), tracker)
    assert trainer.reward_func_names == ["length", "length_2"]
    assert trainer.reward_weights.tolist() == [3.0, 1.0]


def test_reference_is_the_model_before_training(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    """With an adapter no second copy of anything is held; without one it is a frozen copy."""
    adapted = ours(make_grpo(method={"kl_coefficient": 0.1}), tracker)
    assert adapted.ref_model is None
    assert isinstance(adapted.model, PeftModel)
    assert list(adapted.model.peft_config) == ["default"]
    full = make_grpo(method={"kl_coefficient": 0.1}, tuning={"kind": "full"}, training={"max_steps": 2})
    whole = ours(full, tracker)
    before = whole.model.model.norm.weight.detach().clone()
    whole.train()
    assert torch.equal(whole.ref_model.model.norm.weight, before)
    assert not torch.equal(whole.model.model.norm.weight, before)
    assert not any(weight.requires_grad for weight in whole.ref_model.parameters())
    assert ours(make_grpo(tuning={"kind": "full"}), tracker).ref_model is None


@pytest.mark.parametrize(
    ("tuning", "precision", "quantization"),
    [
        ("lora", "fp32", "none"),
        ("lora", "bf16", "none"),
        ("lora", "bf16", "4bit"),
        ("full", "fp32", "none"),
        ("full", "bf16", "none"),
    ],
)
def test_run_evaluates_and_logs_each_reward(
    make_grpo: MakeConfig, tmp_path: Path, tuning: str, precision: str, quantization: str
) -> None:
    config = make_grpo(
        model={"precision": precision, "quantization": quantization},
        tuning={"kind": tuning},
        dataset={"eval_share": 0.34},
        training={"max_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "gradient_checkpointing": True},
        method={"kl_coefficient": 0.1, "rewards": [*REWARDS, {"kind": "length", "minimum": 5}]},
    )
    run_dir = run(config, tmp_path / "run")
    steps = events_of(run_dir, StepLogged)
    assert [step.step for step in steps] == [1, 2]
    wanted = {"loss", "reward", "reward_std", "entropy", "kl", "completions/mean_length", "completions/clipped_ratio"}
    wanted |= {"rewards/length", "rewards/contains", "rewards/length_2", "num_tokens", "tokens_per_second"}
    for step in steps:
        assert wanted <= step.metrics.keys()
        assert [name for name in step.metrics if name.startswith("rewards/") and name not in wanted] == []
        total = 2 * step.metrics["rewards/length"] + 0.5 * step.metrics["rewards/contains"]
        assert step.metrics["reward"] == pytest.approx(total + step.metrics["rewards/length_2"], abs=1e-5)
    (evaluation,) = events_of(run_dir, EvaluationFinished)
    assert {"eval_reward", "eval_rewards/length", "eval_rewards/length_2", "eval_loss"} <= evaluation.metrics.keys()


def test_prompt_has_one_beginning(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_grpo(), tracker)
    (ids,), _, _ = trainer._tokenize_prompts([trainer.train_dataset[0]["prompt"]])
    tokenizer = trainer.processing_class
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids).endswith("<end_of_turn>\n<start_of_turn>model\n")


def test_answer_ends_at_the_end_of_turn(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    """Also where the model's own configuration names only the end of a text."""
    config = make_grpo(training={"max_steps": 1})
    loaded, data = prepare(config, tracker)
    end_of_turn = loaded.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    loaded.base.generation_config.eos_token_id = loaded.tokenizer.eos_token_id
    # A model that only wants to end.
    wish = 100 * torch.nn.functional.one_hot(torch.tensor(end_of_turn), loaded.base.vocab_size)
    loaded.base.lm_head.register_forward_hook(lambda module, inputs, logits: logits + wish)
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    assert end_of_turn in trainer.eos_token_ids
    seen: list[str] = []
    trainer.reward_funcs = [lambda completions, **_: seen.extend(completions) or [0.0] * len(completions)] * 2
    trainer.train()
    assert set(seen) == {""}
    assert logged(trainer, "completions/mean_length") == [1.0]
    assert logged(trainer, "completions/clipped_ratio") == [0.0]


def test_rewards_see_every_column_and_the_answer_taken_off(
    make_grpo: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Five."}]
    path = write_jsonl(tmp_path / "rows.jsonl", [{"messages": turns, "level": {"hard": index}} for index in range(3)])
    config = make_grpo(dataset={"path": str(path)}, method={"rewards": [{"kind": "exact_match", "column": "answer"}]})
    _, data = prepare(config, tracker)
    assert [row.prompt.columns["answer"] for row in data.train] == ["Five."] * 3
    assert sorted(row.prompt.columns["level"]["hard"] for row in data.train) == [0, 1, 2]
    assert data.train[0].prompt.text == "How many?"
    assert "Five" not in data.train[0].rendered


def test_column_called_answer_is_the_data_sets_own(make_grpo: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} and {n}?", "completion": f"It is {2 * n}.", "answer": 2 * n} for n in range(1, 4)]
    config = make_grpo(
        dataset={"path": str(write_jsonl(tmp_path / "sums.jsonl", rows))},
        method={"rewards": [{"kind": "numeric", "column": "answer"}, {"kind": "contains", "column": "completion"}]},
    )
    _, data = prepare(config, tracker)
    assert sorted(row.prompt.columns["answer"] for row in data.train) == [2, 4, 6]
    assert data.train[0].prompt.columns["completion"].startswith("It is ")


def test_rows_that_cannot_be_learned_from_are_dropped_with_the_reason(
    make_grpo: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "How many carats?", "letter": "e"},
        {"prompt": "How many carats?" * 90, "letter": "e"},
        {"prompt": "How many?", "letter": " "},
        {"prompt": "And now?", "letter": "a"},
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    _, data = prepare(make_grpo(dataset={"path": str(path)}, method={"max_completion_length": 30}), tracker)
    assert sorted(row.row for row in data.train) == [1, 4]
    (event,) = events_of(tracker.run_dir, DataLoaded)
    reasons = {dropped.row: dropped.reason for dropped in event.dropped_examples}
    assert reasons[3] == "its column 'letter' is empty, and the reward contains compares with it"
    assert reasons[2].startswith("its prompt of ")
    assert reasons[2].endswith("and answers may have 30 (method.max_completion_length)")
    assert event.truncated_rows == 0


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"per_device_batch_size": 6}}, "a step holds 6 answers"),
        ({"method": {"max_completion_length": 256}}, "answers of 256 tokens leave no room for a prompt"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    make_grpo: MakeConfig, tracker: JobTracker, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        ours(make_grpo(**sections), tracker)


def test_accumulated_batches_make_whole_groups(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    config = make_grpo(training={"per_device_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 1})
    trainer = ours(config, tracker)
    trainer.train()
    assert trainer.args.generation_batch_size == 4
    # Four answers in two batches, and whole groups where an evaluation has no second batch.
    assert trainer.args.per_device_eval_batch_size == 4


def test_fewer_prompts_than_a_step_takes(make_grpo: MakeConfig, tracker: JobTracker) -> None:
    with pytest.raises(DataProblem, match="A step takes 8 prompts, and there are 6"):
        ours(make_grpo(training={"per_device_batch_size": 32}), tracker)


def test_failing_reward_ends_the_run_with_its_name(make_grpo: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(prompts, completions):\n    return [len(completions) / 0]\n", encoding="utf-8")
    trainer = ours(make_grpo(method={"rewards": [{"kind": "python", "path": str(file), "name": "mine"}]}), tracker)
    with pytest.raises(RewardFailed, match=r"The reward mine .* failed in line 2: ZeroDivisionError"):
        trainer.train()


def test_wrong_reward_is_refused_before_the_model_is_loaded(make_grpo: MakeConfig, tmp_path: Path) -> None:
    config = make_grpo(
        method={"rewards": [{"kind": "contains", "column": "lettre"}, {"kind": "regex", "pattern": "("}]}
    )
    with pytest.raises(InvalidConfig, match="no column 'lettre'. Its columns are: prompt, letter") as caught:
        run(config, tmp_path / "run")
    assert len(caught.value.problems) == 2
    assert events_of(RunDir(tmp_path / "run"), ModelLoaded) == []
