"""ORPO: its losses are TRL's without logits of the whole vocabulary, and its tokens are counted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from pipeline.errors import InvalidConfig
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.orpo import ORPOConfig, ORPOTrainer, training_arguments
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import TRL_ARGUMENTS, build, logged, make_run, pair_rows, prepare, run
from tests.tiny_gemma import build_tiny_gemma, build_tiny_multimodal

LOGGED = ("loss", "grad_norm", "nll_loss", "log_odds_ratio", "rewards/accuracies", "rewards/margins", "logps/rejected")
EVALUATED = ("eval_loss", "eval_rewards/accuracies", "eval_log_odds_chosen")


def trl_script(model: Path, folder: Path, *, full: bool = False, **arguments: Any) -> ORPOTrainer:
    """The run as one writes it with TRL."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if full:
        base.get_input_embeddings().requires_grad_(False)
    adapter = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
    set_seed(42)
    trainer = ORPOTrainer(
        model=base,
        args=ORPOConfig(
            output_dir=str(folder), remove_unused_columns=False, max_length=200, **{**TRL_ARGUMENTS, **arguments}
        ),
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
        ({"method": {"beta": 0.5}}, {"beta": 0.5}),
        ({"tuning": {"kind": "full"}}, {"full": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("softcap", [None, 20.0])
def test_values_are_those_of_a_trl_script(
    make_config: MakeConfig,
    tracker: JobTracker,
    tmp_path: Path,
    sections: dict[str, Any],
    arguments: dict[str, Any],
    softcap: float | None,
) -> None:
    model = build_tiny_gemma(tmp_path / "model", softcap=softcap)
    mine = build(make_run(make_config, tmp_path, "orpo", model={"base_model": str(model)}, **sections), tracker)
    mine.train()
    theirs = trl_script(model, tmp_path / "theirs", **arguments)
    assert len(logged(mine, "loss")) == 4
    assert len(logged(mine, "eval_loss")) == 2
    for name in (*LOGGED, *EVALUATED):
        assert logged(mine, name) == pytest.approx(logged(theirs, name), abs=1e-4), name


def test_ids_are_those_that_trl_makes(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    mine = build(make_run(make_config, tmp_path, "orpo"), tracker).train_dataset
    theirs = trl_script(tiny_gemma, tmp_path / "theirs", max_steps=1).train_dataset
    for column in mine.column_names:
        assert mine[column][:] == theirs[column][:], column


def test_logits_of_whole_batches_are_never_there(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    trainer = build(make_run(make_config, tmp_path, "orpo"), tracker)
    applied: list[Any] = []
    trainer.model.get_output_embeddings().register_forward_hook(lambda *_: applied.append(True))
    trainer.train()
    assert len(logged(trainer, "eval_loss")) == 2
    assert not applied


def test_run_leaves_an_adapter_that_likes_the_chosen(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    training = {"max_steps": 12, "eval_steps": 12, "save_strategy": "epoch"}
    events = run(make_run(make_config, tmp_path, "orpo", training=training), tracker)
    steps = [event.metrics for event in events if isinstance(event, StepLogged)]
    assert {"rewards/accuracies", "rewards/margins", "nll_loss", "log_odds_ratio"} <= set(steps[-1])
    assert all(values["tokens_per_second"] > 0 for values in steps)
    assert not any("logits" in name for name in steps[-1])
    (evaluation,) = [event.metrics for event in events if isinstance(event, EvaluationFinished)]
    assert evaluation["eval_rewards/accuracies"] == 1.0
    folder = tracker.run_dir.artifact("adapter")
    assert {name.rpartition(".lora_")[2] for name in load_file(folder / "adapter_model.safetensors")} == {
        "A.weight",
        "B.weight",
    }
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before = chosen_loss(base, tokenizer)
    assert chosen_loss(PeftModel.from_pretrained(base, folder), tokenizer) < before - 0.3


@torch.no_grad()
def chosen_loss(model: Any, tokenizer: Any) -> float:
    pair = pair_rows(1, first=40)[0]
    ids = torch.tensor([tokenizer.apply_chat_template(pair["prompt"] + pair["chosen"])["input_ids"]])
    return float(model(ids, labels=ids).loss)


def test_tokens_of_both_answers_are_counted(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "orpo")
    _, data = prepare(config, tracker)
    trainer = build(config, tracker)
    trainer.train()
    # Four batches of three are all twelve rows.
    assert logged(trainer, "num_tokens")[-1] == sum(row.tokens for row in data.train)


def test_full_fine_tune_leaves_a_whole_model(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    run(make_run(make_config, tmp_path, "orpo", tuning={"kind": "full"}), tracker)
    model = AutoModelForCausalLM.from_pretrained(tracker.run_dir.artifact("model"))
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    assert model.config.eos_token_id == base.config.eos_token_id
    assert not torch.equal(model.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)
    assert torch.equal(model.get_input_embeddings().weight, base.get_input_embeddings().weight)


def test_evaluation_of_pairs_does_not_depend_on_the_batches(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    found = []
    for size in (1, 4, 6):
        config = make_run(make_config, tmp_path, "orpo", training={"per_device_batch_size": size, "max_steps": 1})
        found.append(build(config, tracker).evaluate())
    names = {name for name in found[0] if name.startswith(("eval_rewards", "eval_logps", "eval_log_odds"))}
    assert len(names) == 8
    for name in names:
        assert [values[name] for values in found] == pytest.approx([found[0][name]] * 3, rel=1e-4), name


def test_only_the_adapter_drops_inputs(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    trainer = build(make_run(make_config, tmp_path, "orpo", tuning={"dropout": 0.5}), tracker)
    assert {module.p for module in trainer.model.modules() if isinstance(module, torch.nn.Dropout)} == {0.5}


def test_pairs_of_similar_length_share_a_batch(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    sampler = build(
        make_run(make_config, tmp_path, "orpo", training={"batching": "grouped"}), tracker
    )._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler)
    assert sorted(sampler) == list(range(12))


def test_multimodal_model_learns_from_text(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    model = build_tiny_multimodal(tmp_path / "model")
    trainer = build(make_run(make_config, tmp_path, "orpo", model={"base_model": str(model)}), tracker)
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0] - 0.1


def test_fields_reach_trl(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "orpo", method={"beta": 0.7})
    loaded = ModelManager(config, tracker).load()
    arguments = training_arguments(config, loaded, output_dir=tmp_path, max_length=77, evaluate=True)
    assert (arguments.beta, arguments.max_length) == (0.7, 77)


def test_packing_is_refused(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"training.batching: Packing .*ORPO compares whole answers. Use auto"):
        run(make_run(make_config, tmp_path, "orpo", training={"batching": "packed"}), tracker)
