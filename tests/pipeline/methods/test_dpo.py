"""DPO: what it keeps in memory and saves, what it logs, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, MixtralForCausalLM

from pipeline.errors import DataProblem, InvalidConfig
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.dpo import build_trainer, training_arguments
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import (
    Row,
    build,
    logged,
    make_run,
    pair_rows,
    prepare,
    run,
)
from tests.tiny_gemma import build_tiny_multimodal


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


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_adapter_of_a_quantized_base_keeps_its_width(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, quantization: str
) -> None:
    config = make_run(make_config, tmp_path, "dpo", model={"quantization": quantization})
    events = run(config, tracker)
    adapter = load_file(tracker.run_dir.artifact("adapter") / "adapter_model.safetensors")
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    # Numbers that were bf16 on their way have no more than its 8 bits of precision.
    assert not any(torch.equal(weight, weight.bfloat16().float()) for weight in adapter.values())
    losses = [event.metrics["loss"] for event in events if isinstance(event, StepLogged)]
    assert losses[-1] < 0.6


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
