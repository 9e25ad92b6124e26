"""The GRPO method: its losses are those of a script that uses TRL by hand, its rewards see what the data set says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import GRPOConfig, GRPOTrainer

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import DataProblem, InvalidConfig, RewardFailed
from pipeline.events import DataLoaded, EvaluationFinished, ModelLoaded, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods.grpo import build_trainer
from pipeline.methods.grpo_trainer import PromptTrainer
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

REWARDS = [
    {"kind": "length", "maximum": 24, "weight": 2.0},
    {"kind": "contains", "column": "letter", "weight": 0.5},
]
LETTERS = "etao"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A file of six prompts with a column for rewards."""
    rows = [
        {"prompt": f"How many carats has the {stone}?", "letter": LETTERS[index % len(LETTERS)]}
        for index, stone in enumerate(STONES[:6])
    ]
    return write_jsonl(tmp_path / "prompts.jsonl", rows)


@pytest.fixture
def make_grpo(make_config: MakeConfig, prompts: Path) -> MakeConfig:
    """Makes documents of quick GRPO runs without evaluation."""

    def make(**sections: Any) -> FineTuneJobConfig:
        method = {"kind": "grpo", "rewards": REWARDS, "num_generations": 4, "max_completion_length": 10}
        training = {"per_device_batch_size": 8, "save_strategy": "no", "eval_strategy": "no"}
        dataset = {"path": str(prompts), "eval_share": 0}
        return make_config(
            **{
                **sections,
                "method": {**method, **sections.get("method", {})},
                "training": {**training, **sections.get("training", {})},
                "dataset": {**dataset, **sections.get("dataset", {})},
            }
        )

    return make


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> PromptTrainer:
    loaded, data = prepare(config, tracker)
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def run(config: FineTuneJobConfig, folder: Path) -> RunDir:
    run_dir = RunDir(folder)
    run_dir.path.mkdir(exist_ok=True)
    FineTuneJob(config, run_dir, JobTracker(run_dir)).run()
    return run_dir


def events_of(run_dir: RunDir, kind: type) -> list[Any]:
    events, _ = run_dir.read_events()
    return [event for event in events if isinstance(event, kind)]


def written_by_hand(model_folder: Path, prompts: Path, output_dir: Path, **chosen: Any) -> GRPOTrainer:
    """A script as one writes it with TRL: conversations, functions over them, and the arguments spelled out."""
    is_full = chosen.pop("is_full")
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    set_seed(42)
    if is_full:
        model.get_input_embeddings().requires_grad_(False)
    else:
        layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        adapter = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules=layers)
        model = get_peft_model(model, adapter)

    def length(completions: list[Any], **_: Any) -> list[float]:
        sizes = [len(turns[0]["content"].strip()) for turns in completions]
        return [1.0 if size <= 24 else max(0.0, 2 - size / 24) for size in sizes]

    def contains(completions: list[Any], letter: list[str], **_: Any) -> list[float]:
        return [float(text in turns[0]["content"]) for turns, text in zip(completions, letter, strict=True)]

    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    arguments = {
        "output_dir": str(output_dir),
        "max_steps": 5,
        "learning_rate": 0.01,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": False,
        "num_generations": 4,
        "max_completion_length": 10,
        "temperature": 1.0,
        "reward_weights": [2.0, 0.5],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 42,
        "data_seed": 42,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[length, contains],
        args=GRPOConfig(**arguments | chosen),
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": row["prompt"]}], "letter": row["letter"]} for row in rows]
        ),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("sections", "theirs"),
    [
        ({}, {}),
        (
            {
                "method": {"kl_coefficient": 0.2, "num_iterations": 2, "policy_loss": "grpo", "scale_rewards": "batch"},
                "training": {"gradient_accumulation_steps": 2, "per_device_batch_size": 4},
            },
            {
                "beta": 0.2,
                "num_iterations": 2,
                "loss_type": "grpo",
                "scale_rewards": "batch",
                "gradient_accumulation_steps": 2,
                "per_device_train_batch_size": 4,
            },
        ),
        (
            {
                "tuning": {"kind": "full"},
                "method": {"kl_coefficient": 0.5, "temperature": 0.7, "top_p": 0.9, "policy_loss": "dr_grpo"},
            },
            {"is_full": True, "beta": 0.5, "temperature": 0.7, "top_p": 0.9, "loss_type": "dr_grpo"},
        ),
    ],
    ids=["lora", "lora with KL, two updates a batch", "full with KL"],
)
def test_losses_and_rewards_are_those_of_a_script_with_trl(
    make_grpo: MakeConfig,
    tracker: JobTracker,
    tiny_gemma: Path,
    prompts: Path,
    tmp_path: Path,
    sections: dict[str, Any],
    theirs: dict[str, Any],
) -> None:
    training = {"max_steps": 5, "learning_rate": 0.01, **sections.pop("training", {})}
    mine = ours(make_grpo(training=training, **sections), tracker)
    mine.train()
    script = written_by_hand(tiny_gemma, prompts, tmp_path / "script", **{"is_full": False, **theirs})
    assert len(logged(mine, "loss")) == 5
    for name in ("loss", "grad_norm", "reward", "reward_std", "entropy", "kl", "completions/mean_length"):
        assert logged(mine, name) == pytest.approx(logged(script, name), abs=1e-4), name
    for name in ("length", "contains"):
        assert logged(mine, f"rewards/{name}") == pytest.approx(logged(script, f"rewards/{name}/mean"), abs=1e-6)
    assert len(set(logged(mine, "reward"))) > 1
    assert max(map(abs, logged(mine, "loss"))) > 1e-3


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


def values(run_dir: RunDir, names: Sequence[str]) -> dict[tuple[int, str], float]:
    steps = events_of(run_dir, StepLogged)
    return {(step.step, name): step.metrics[name] for step in steps for name in names if name in step.metrics}


def test_resumed_run_has_the_values_of_an_unbroken_one(make_grpo: MakeConfig, tmp_path: Path) -> None:
    """Over the end of an epoch of three steps."""
    training = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4, "save_total_limit": 9}
    config = make_grpo(training=training, tuning={"dropout": 0.2})
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


def test_run_goes_on_between_two_updates_from_one_batch(make_grpo: MakeConfig, tmp_path: Path) -> None:
    """The answers of that batch are sampled anew; the next batch has its own as before."""
    training = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 9}
    config = make_grpo(training=training, method={"num_iterations": 2})
    unbroken = run(config, tmp_path / "unbroken")
    interrupted = RunDir(tmp_path / "interrupted")
    interrupted.path.mkdir()
    interrupted.checkpoints.mkdir()
    (unbroken.checkpoints / "checkpoint-3").rename(interrupted.checkpoints / "checkpoint-3")
    assert list(values(unbroken, ["reward"])) == [(1, "reward"), (3, "reward"), (5, "reward")]
    assert list(values(run(config, interrupted.path), ["reward"])) == [(4, "reward"), (5, "reward")]
