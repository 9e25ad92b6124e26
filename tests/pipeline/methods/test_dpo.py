"""DPO: its losses are TRL's, its reference is where it began, and no second adapter is kept or saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, MixtralForCausalLM, set_seed
from trl import DPOConfig, DPOTrainer

from pipeline.data_manager import DataManager
from pipeline.errors import DataProblem, InvalidConfig
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.dpo import build_trainer, training_arguments
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import (
    TRL_ARGUMENTS,
    Row,
    build,
    logged,
    make_run,
    pair_rows,
    prepare,
    run,
)
from tests.tiny_gemma import build_tiny_gemma, build_tiny_multimodal, write_jsonl

LOGGED = ("loss", "grad_norm", "rewards/margins", "rewards/chosen", "entropy", "num_tokens")
EVALUATED = ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")


def trl_script(model: Path, folder: Path, *, full: bool, **arguments: Any) -> DPOTrainer:
    """The run as one writes it with TRL."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if full:
        base.get_input_embeddings().requires_grad_(False)
    set_seed(42)
    trainer = DPOTrainer(
        model=base,
        args=DPOConfig(output_dir=str(folder), **{**TRL_ARGUMENTS, **arguments}),
        train_dataset=Dataset.from_list(pair_rows(12)),
        eval_dataset=Dataset.from_list(pair_rows(6, first=12)),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=None
        if full
        else LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("sections", "arguments"),
    [
        ({}, {}),
        ({"training": {"gradient_accumulation_steps": 2}}, {"gradient_accumulation_steps": 2}),
        ({"training": {"gradient_checkpointing": True}}, {"gradient_checkpointing": True}),
        ({"method": {"loss_type": "ipo", "beta": 0.5}}, {"loss_type": "ipo", "beta": 0.5}),
        ({"method": {"loss_type": "hinge"}}, {"loss_type": "hinge"}),
        (
            {"method": {"loss_type": "robust", "label_smoothing": 0.2}},
            {"loss_type": "robust", "label_smoothing": 0.2},
        ),
        ({"method": {"loss_type": "apo_zero"}}, {"loss_type": "apo_zero"}),
        ({"method": {"loss_type": "apo_down"}}, {"loss_type": "apo_down"}),
        ({"method": {"max_length": 40}}, {"max_length": 40}),
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
    mine = build(make_run(make_config, tmp_path, "dpo", **sections), tracker)
    mine.train()
    theirs = trl_script(tiny_gemma, tmp_path / "theirs", **{"full": False, **arguments})
    assert len(logged(mine, "loss")) == 4
    assert len(logged(mine, "eval_loss")) == 2
    for name in (*LOGGED, *EVALUATED):
        assert logged(mine, name) == pytest.approx(logged(theirs, name), abs=1e-4), name
    # The first update is at a rate of 0: until the second, the model is its reference, and rounding decides.
    assert logged(mine, "rewards/accuracies")[2:] == logged(theirs, "rewards/accuracies")[2:]


@pytest.mark.parametrize("softcap", [None, 20.0])
def test_capped_logits_are_capped(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, softcap: float | None
) -> None:
    model = build_tiny_gemma(tmp_path / "model", softcap=softcap)
    mine = build(make_run(make_config, tmp_path, "dpo", model={"base_model": str(model)}), tracker)
    mine.train()
    theirs = trl_script(model, tmp_path / "theirs", full=False)
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), abs=1e-4)


@pytest.mark.parametrize("plain", [False, True], ids=["conversations", "plain text"])
def test_ids_are_those_that_trl_makes(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path, plain: bool
) -> None:
    rows: list[Row] = pair_rows(12)
    if plain:
        rows = [{side: turns[0]["content"] for side, turns in row.items()} for row in rows]
    dataset = {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_path": None, "eval_share": 0}
    config = make_run(make_config, tmp_path, "dpo", dataset=dataset)
    loaded = ModelManager(config, tracker).load()
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    if plain:
        loaded.tokenizer.chat_template = tokenizer.chat_template = None
    data = DataManager(config, tracker).load(loaded)
    theirs = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_gemma),
        args=DPOConfig(
            output_dir=str(tmp_path / "theirs"), use_cpu=True, report_to="none", precompute_ref_log_probs=True
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    ).train_dataset
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        assert [getattr(row, column) for row in data.train] == theirs[column][:]


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_logits_of_whole_batches_are_never_there(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, kind: str
) -> None:
    config = make_run(make_config, tmp_path, "dpo", tuning={"kind": kind})
    loaded, data = prepare(config, tracker)
    applied: list[Any] = []
    loaded.base.get_output_embeddings().register_forward_hook(lambda *_: applied.append(True))
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    trainer.train()
    assert len(logged(trainer, "eval_loss")) == 2
    assert not applied


def test_experts_keep_the_loss_of_their_own(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, tiny_gemma: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    experts = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        max_position_embeddings=256,
    )
    MixtralForCausalLM(experts).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    trainer = build(make_run(make_config, tmp_path, "dpo", model={"base_model": str(tmp_path / "model")}), tracker)
    trainer.train()
    assert len(logged(trainer, "loss")) == 4
    assert all(value > 0 for value in logged(trainer, "aux_loss"))


def test_saved_adapter_is_the_only_one(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "dpo", training={"save_strategy": "epoch"})
    loaded, data = prepare(config, tracker)
    before = sum(parameter.numel() for parameter in loaded.model.parameters())
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    trainer.train()
    assert list(trainer.model.peft_config) == ["default"]
    assert sum(parameter.numel() for parameter in trainer.model.parameters()) == before
    trainer.model.save_pretrained(tmp_path / "saved")
    for folder in (tmp_path / "saved", tracker.run_dir.checkpoints / "checkpoint-4"):
        assert [path.name for path in folder.rglob("adapter_model*")] == ["adapter_model.safetensors"]
        assert not any("ref" in name for name in load_file(folder / "adapter_model.safetensors"))


def test_run_leaves_an_adapter_that_prefers_the_chosen(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    events = run(make_run(make_config, tmp_path, "dpo", training={"max_steps": 12, "eval_steps": 12}), tracker)
    steps = [event for event in events if isinstance(event, StepLogged)]
    assert {"rewards/accuracies", "rewards/margins", "tokens_per_second", "peak_memory_bytes"} <= set(steps[-1].metrics)
    assert all(step.metrics["tokens_per_second"] > 0 for step in steps)
    (evaluation,) = [event for event in events if isinstance(event, EvaluationFinished)]
    assert evaluation.metrics["eval_rewards/accuracies"] == 1.0
    assert "eval_num_tokens" not in evaluation.metrics
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    tokenizer = AutoTokenizer.from_pretrained(tracker.run_dir.artifact("adapter"))
    pair = pair_rows(1, first=40)[0]
    start = margin(base, tokenizer, pair)
    tuned = PeftModel.from_pretrained(base, tracker.run_dir.artifact("adapter"))
    assert margin(tuned, tokenizer, pair) > start + 1


@torch.no_grad()
def margin(model: Any, tokenizer: Any, pair: Row) -> float:
    """How much likelier the chosen answer is than the rejected one, in logarithms."""
    totals = []
    prompt = tokenizer.apply_chat_template(pair["prompt"], add_generation_prompt=True)["input_ids"]
    for side in ("chosen", "rejected"):
        ids = torch.tensor([tokenizer.apply_chat_template(pair["prompt"] + pair[side])["input_ids"]])
        logps = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        totals.append(float(logps[len(prompt) - 1 :].sum()))
    return totals[0] - totals[1]


def test_full_fine_tune_leaves_a_whole_model(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    run(make_run(make_config, tmp_path, "dpo", tuning={"kind": "full"}), tracker)
    model = AutoModelForCausalLM.from_pretrained(tracker.run_dir.artifact("model"))
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    assert model.config.eos_token_id == base.config.eos_token_id
    changed = {
        name for (name, one), two in zip(model.named_parameters(), base.parameters(), strict=True) if (one != two).any()
    }
    assert "model.layers.0.self_attn.q_proj.weight" in changed
    assert "model.embed_tokens.weight" not in changed


def test_evaluation_does_not_depend_on_the_batches(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    found = []
    for size in (1, 4, 6):
        config = make_run(make_config, tmp_path, "dpo", training={"per_device_batch_size": size, "max_steps": 1})
        trainer = build(config, tracker)
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                if parameter.requires_grad:
                    parameter.fill_(0.02)
        found.append(trainer.evaluate())
    names = {name for name in found[0] if name.startswith(("eval_loss", "eval_rewards", "eval_logps"))}
    assert len(names) == 7
    for name in names:
        assert [values[name] for values in found] == pytest.approx([found[0][name]] * 3, rel=1e-4), name


def test_adapter_dropout_is_kept_and_the_reference_has_none(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    trainer = build(make_run(make_config, tmp_path, "dpo", tuning={"dropout": 0.5}), tracker)
    rates = [module.p for module in trainer.model.modules() if isinstance(module, torch.nn.Dropout)]
    assert set(rates) == {0.5}
    trainer.train()
    # Before the first update the adapter adds nothing, whatever it drops: all is as in the reference.
    assert logged(trainer, "rewards/margins")[0] == 0


def test_trained_weights_keep_their_width(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "dpo", model={"precision": "bf16"})
    loaded, data = prepare(config, tracker)
    # What TRL looks at to tell a quantized base.
    loaded.base.is_loaded_in_4bit = True
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    after = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in after.values()} == {torch.float32}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_pairs_of_similar_length_share_a_batch(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    trainer = build(make_run(make_config, tmp_path, "dpo", training={"batching": "auto"}), tracker)
    sampler = trainer._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler)
    assert sampler.batch_size == 3
    assert sorted(sampler) == list(range(12))


def test_multimodal_model_learns_from_text(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    model = build_tiny_multimodal(tmp_path / "model")
    trainer = build(make_run(make_config, tmp_path, "dpo", model={"base_model": str(model)}), tracker)
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.parametrize(
    ("field", "value", "argument"),
    [
        ("beta", 0.7, "beta"),
        ("loss_type", "hinge", "loss_type"),
        ("label_smoothing", 0.3, "label_smoothing"),
    ],
)
def test_field_reaches_trl(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, field: str, value: Any, argument: str
) -> None:
    config = make_run(make_config, tmp_path, "dpo", method={field: value})
    loaded = ModelManager(config, tracker).load()
    arguments = training_arguments(config, loaded, output_dir=tmp_path, max_length=77, evaluate=True)
    found = getattr(arguments, argument)
    assert found == ([value] if argument == "loss_type" else value)
    assert arguments.max_length == 77


def test_prompt_over_the_limit_is_dropped_with_the_reason(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path
) -> None:
    with pytest.raises(DataProblem, match="what it trains on starts after the limit of 8 tokens"):
        prepare(make_run(make_config, tmp_path, "dpo", method={"max_length": 8}), tracker)


def test_conversations_are_no_pairs(make_config: MakeConfig, tracker: JobTracker, chats: Path, tmp_path: Path) -> None:
    config = make_run(make_config, tmp_path, "dpo", dataset={"path": str(chats), "eval_path": None})
    with pytest.raises(DataProblem, match=r"DPO learns from a chosen and a rejected answer to each prompt"):
        prepare(config, tracker)


def test_packing_is_refused(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"training.batching: Packing .*DPO compares whole answers. Use auto"):
        run(make_run(make_config, tmp_path, "dpo", training={"batching": "packed"}), tracker)
