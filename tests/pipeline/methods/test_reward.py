"""Reward model: its losses are TRL's, its head is trained and saved, and it ranks answers when loaded again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, set_seed
from trl import RewardConfig, RewardTrainer

from pipeline.data.example import UnusableRow
from pipeline.errors import DataProblem, InvalidConfig
from pipeline.events import DataLoaded, EvaluationFinished, JobCompleted, StepLogged
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.reward import ScoredPair, training_arguments
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import TRL_ARGUMENTS, build, logged, make_run, pair_rows, prepare, run
from tests.tiny_gemma import build_tiny_multimodal

LOGGED = ("loss", "grad_norm", "accuracy", "margin", "min_reward", "mean_reward", "max_reward", "num_tokens")
LEARNS = {"max_steps": 30, "eval_strategy": "epoch", "lr_scheduler": "constant"}


def scoring_model(folder: Path, **options: Any) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32, **options)


def trl_script(model: Path, folder: Path, *, full: bool = False, **arguments: Any) -> RewardTrainer:
    """The run as one writes it with TRL."""
    set_seed(42)
    base = scoring_model(model)
    if full:
        base.get_input_embeddings().requires_grad_(False)
    adapter = LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=32, target_modules="all-linear")
    set_seed(42)
    trainer = RewardTrainer(
        model=base,
        args=RewardConfig(output_dir=str(folder), **{**TRL_ARGUMENTS, **arguments}),
        train_dataset=Dataset.from_list(pair_rows(12)),
        eval_dataset=Dataset.from_list(pair_rows(6, first=12)),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=None if full else adapter,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("sections", "arguments"),
    [
        ({}, {}),
        ({"training": {"gradient_accumulation_steps": 2}}, {"gradient_accumulation_steps": 2}),
        ({"training": {"gradient_checkpointing": True}}, {"gradient_checkpointing": True}),
        ({"method": {"center_rewards_coefficient": 0.5}}, {"center_rewards_coefficient": 0.5}),
        ({"method": {"max_length": 52}}, {"max_length": 52}),
        ({"tuning": {"kind": "full"}}, {"full": True}),
    ],
    ids=str,
)
def test_values_are_those_of_a_trl_script(
    make_config: MakeConfig,
    tracker: JobTracker,
    tiny_gemma: Path,
    tmp_path: Path,
    sections: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    mine = build(make_run(make_config, tmp_path, "reward", **sections), tracker)
    mine.train()
    theirs = trl_script(tiny_gemma, tmp_path / "theirs", **arguments)
    assert len(logged(mine, "loss")) == 4
    assert len(logged(mine, "eval_loss")) == 2
    for name in (*LOGGED, "eval_loss"):
        assert logged(mine, name) == pytest.approx(logged(theirs, name), abs=1e-4), name
    for column in ("chosen_ids", "rejected_ids"):
        assert mine.train_dataset[column][:] == theirs.train_dataset[column][:]


@torch.no_grad()
def share_ranked_right(model: PreTrainedModel, tokenizer: Any) -> float:
    """Share of pairs, none of them trained on, whose chosen answer has the higher score."""
    right = 0
    for pair in pair_rows(10, first=30):
        scores = []
        for side in ("chosen", "rejected"):
            ids = torch.tensor([tokenizer.apply_chat_template(pair["prompt"] + pair[side])["input_ids"]])
            scores.append(float(model(ids).logits))
        right += scores[0] > scores[1]
    return right / 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_saved_adapter_ranks_when_loaded_again(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path, precision: str
) -> None:
    config = make_run(
        make_config,
        tmp_path,
        "reward",
        model={"precision": precision},
        training={**LEARNS, "save_strategy": "epoch"},
        export={"merged": True},
    )
    events = run(config, tracker)
    assert isinstance(events[-1], JobCompleted)
    steps = [event.metrics for event in events if isinstance(event, StepLogged)]
    assert {"accuracy", "margin", "mean_reward", "tokens_per_second"} <= set(steps[-1])
    scores = [event.metrics for event in events if isinstance(event, EvaluationFinished)]
    assert scores[-1]["eval_accuracy"] == 1.0
    folder = tracker.run_dir.artifact("adapter")
    heads = [tensor for name, tensor in load_file(folder / "adapter_model.safetensors").items() if "score" in name]
    assert [(head.shape, head.dtype) for head in heads] == [((1, 32), torch.float32)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Another head than the one of the run to begin with: the adapter brings its own.
    set_seed(1)
    assert share_ranked_right(PeftModel.from_pretrained(scoring_model(tiny_gemma), folder), tokenizer) == 1.0
    merged = scoring_model(tracker.run_dir.artifact("merged"))
    assert merged.config.architectures == ["Gemma3TextForSequenceClassification"]
    assert share_ranked_right(merged, tokenizer) == 1.0


def test_full_fine_tune_leaves_a_whole_model_that_ranks(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    tuning, training = {"kind": "full"}, {**LEARNS, "learning_rate": 0.003}
    run(make_run(make_config, tmp_path, "reward", tuning=tuning, training=training), tracker)
    folder = tracker.run_dir.artifact("model")
    model = scoring_model(folder)
    assert share_ranked_right(model, AutoTokenizer.from_pretrained(folder)) == 1.0
    assert model.config.pad_token_id == AutoTokenizer.from_pretrained(folder).pad_token_id
    before = scoring_model(tiny_gemma).get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, before)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_head_is_trained_from_the_seed(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, kind: str) -> None:
    def head(seed: int) -> torch.Tensor:
        config = make_run(make_config, tmp_path, "reward", tuning={"kind": kind}, training={"seed": seed})
        model = ModelManager(config, tracker).load().model
        (trained,) = [p for name, p in model.named_parameters() if "score" in name and p.requires_grad]
        return trained

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))


def test_evaluation_does_not_depend_on_the_batches(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    found = []
    for size in (1, 4, 6):
        config = make_run(make_config, tmp_path, "reward", training={"per_device_batch_size": size, "max_steps": 1})
        found.append(build(config, tracker).evaluate())
    for name in ("eval_loss", "eval_accuracy", "eval_margin", "eval_mean_reward"):
        assert [values[name] for values in found] == pytest.approx([found[0][name]] * 3, rel=1e-4), name
    assert "eval_num_tokens" not in found[0]


def test_pairs_of_similar_length_share_a_batch(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    sampler = build(
        make_run(make_config, tmp_path, "reward", training={"batching": "auto"}), tracker
    )._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler)
    assert sorted(sampler) == list(range(12))


def test_multimodal_model_learns_to_score_text(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    model = build_tiny_multimodal(tmp_path / "model")
    config = make_run(make_config, tmp_path, "reward", model={"base_model": str(model)}, training={"max_steps": 12})
    trainer = build(config, tracker)
    trained = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert any("score" in name for name in trained)
    assert not any("vision" in name for name in trained)
    trainer.train()
    assert logged(trainer, "loss")[-1] < logged(trainer, "loss")[0]


def test_whole_answers_are_scored() -> None:
    row = ScoredPair(1, [1, 2], [3, 4, 5], [6])
    assert row.cut(5) == [row]
    with pytest.raises(UnusableRow, match="it has 5 tokens, the limit is 4, and an answer is scored whole"):
        row.cut(4)


def test_long_rows_are_left_out_with_the_reason(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    run(make_run(make_config, tmp_path, "reward", method={"max_length": 52}), tracker)
    (loaded,) = [event for event in tracker.run_dir.read_events()[0] if isinstance(event, DataLoaded)]
    assert 0 < loaded.dropped_rows == 18 - loaded.train_rows - loaded.eval_rows
    assert "an answer is scored whole" in loaded.dropped_examples[0].reason


def test_rows_that_are_all_too_long_are_refused(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"No row is left to train on.*the limit is 8, and an answer is scored whole"):
        prepare(make_run(make_config, tmp_path, "reward", method={"max_length": 8}), tracker)


def test_fields_reach_trl(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "reward", method={"center_rewards_coefficient": 0.01})
    loaded = ModelManager(config, tracker).load()
    arguments = training_arguments(config, loaded, output_dir=tmp_path, max_length=77, evaluate=True)
    assert (arguments.center_rewards_coefficient, arguments.max_length) == (0.01, 77)


def test_packing_is_refused(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"training.batching: Packing joins rows"):
        run(make_run(make_config, tmp_path, "reward", training={"batching": "packed"}), tracker)
