"""Frozen weights in 4 and 8 bits: which they are, that training on them is right, and what is refused."""

from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from transformers import AutoModelForCausalLM

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import InvalidConfig
from pipeline.events import ModelLoaded
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.providers import huggingface
from pipeline.providers.quantization import quantized_bits, trained_weights_kept, weights_in
from pipeline.providers.target_modules import linear_layer_names
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.providers.architectures import tiny_model
from tests.pipeline.providers.conftest import CPU, Learned, train_adapter

KINDS = {"4bit": bitsandbytes.nn.Linear4bit, "8bit": bitsandbytes.nn.Linear8bitLt}
DTYPES = [torch.float32, torch.bfloat16]


def load_quantized(folder: Path, bits: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    config = ModelConfig(base_model=str(folder), quantization=bits)
    return huggingface.load_model(config, task="causal_lm", weight_dtype=dtype, device=CPU)


def gradient(model: torch.nn.Module, learned: Learned, dtype: torch.dtype) -> torch.Tensor:
    model.train()
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        model(input_ids=learned.ids[:4], labels=learned.labels[:4]).loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])


@pytest.mark.parametrize("bits", KINDS)
@pytest.mark.parametrize("architecture", ["gemma3_multimodal", "gemma3n", "gemma4_multimodal", "gpt2"])
def test_quantized_are_the_language_models_layers_and_nothing_else(
    architecture: str, bits: str, tmp_path: Path
) -> None:
    whole = tiny_model(architecture)
    whole.save_pretrained(tmp_path)
    model = load_quantized(tmp_path, bits)
    quantized = {name for name, module in model.named_modules() if isinstance(module, KINDS[bits])}
    assert quantized == set(linear_layer_names(whole))
    assert quantized_bits(model) == bits
    kept = {
        name: weight.dtype for name, weight in model.named_parameters() if name.removesuffix(".weight") not in quantized
    }
    # Not even the embeddings are widened.
    assert set(kept.values()) == {torch.bfloat16}
    assert sum(map(weights_in, model.parameters())) == sum(weight.numel() for weight in whole.parameters())


def test_four_bits_are_normal_float_quantized_twice(learned: Learned) -> None:
    layer = load_quantized(learned.folder, "4bit", torch.float32).model.layers[0].mlp.up_proj
    state = layer.weight.quant_state
    assert (state.quant_type, state.nested, layer.compute_dtype) == ("nf4", True, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", KINDS)
def test_gradient_is_the_same_after_an_evaluation(learned: Learned, bits: str, dtype: torch.dtype) -> None:
    """Left alone, bitsandbytes rearranges 4-bit weights in the evaluation and the gradient is off by a third."""
    model, _ = train_adapter(learned, load_quantized(learned.folder, bits, dtype), dtype=dtype)
    before = gradient(model, learned, dtype)
    assert before.norm() > 0.1
    learned.token_log_probabilities(model, dtype)
    assert torch.allclose(gradient(model, learned, dtype), before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", KINDS)
def test_adapter_learns_on_quantized_weights_as_on_whole_ones(learned: Learned, bits: str, dtype: torch.dtype) -> None:
    _, whole = train_adapter(learned, learned.load(dtype), dtype=dtype)
    _, quantized = train_adapter(learned, load_quantized(learned.folder, bits, dtype), dtype=dtype)
    assert quantized[-1] < quantized[0] - 0.1
    assert quantized == pytest.approx(whole, abs=0.05)


@pytest.mark.parametrize("bits", KINDS)
def test_run_on_quantized_weights_learns_evaluates_and_saves(
    make_config: MakeConfig, tracker: JobTracker, bits: str
) -> None:
    config = make_config(
        model={"quantization": bits, "precision": "bf16"},
        training={"max_steps": 8, "eval_strategy": "steps", "eval_steps": 4, "lr_scheduler": "constant"},
        evaluation={"samples": 1, "sample_tokens": 8},
        export={"merged": True},
    )
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    losses = [event.metrics["loss"] for event in events if event.type == "step_logged" and "loss" in event.metrics]
    assert losses[-1] < losses[0] - 0.1
    assert [event for event in events if event.type == "warning_raised"] == []
    loaded = next(event for event in events if isinstance(event, ModelLoaded))
    whole = AutoModelForCausalLM.from_pretrained(config.model.base_model)
    assert loaded.parameters - loaded.trainable_parameters == whole.num_parameters()
    manifest = tracker.run_dir.read_manifest()
    assert manifest is not None
    assert {artifact.kind for artifact in manifest.artifacts} == {"adapter", "merged"}


def test_trained_weights_keep_their_format_and_values() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    before = layer.weight.clone()
    with trained_weights_kept(layer):
        for weight in layer.parameters():
            weight.data = weight.data.to(torch.bfloat16)
    assert torch.equal(layer.weight, before)
    assert layer.bias.dtype == torch.bfloat16


def test_dora_on_eight_bits_needs_a_gpu(learned: Learned) -> None:
    with pytest.raises(InvalidConfig, match=r"tuning.variant: dora cannot read the lengths of 8-bit weights on a CPU"):
        huggingface.attach_lora(load_quantized(learned.folder, "8bit"), LoraConfig(variant="dora"), task="causal_lm")


@pytest.mark.parametrize("bits", KINDS)
def test_full_fine_tune_of_quantized_weights_is_refused(make_config: MakeConfig, bits: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"model.quantization is {bits}, and quantized weights cannot be trained"):
        make_config(model={"quantization": bits}, tuning={"kind": "full"})
