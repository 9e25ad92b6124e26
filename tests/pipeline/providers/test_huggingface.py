"""The provider huggingface: kinds of adapters, number formats, and models that open but cannot be trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, Gemma3TextModel, T5Config, T5ForConditionalGeneration

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers import Task, huggingface
from tests.pipeline.providers.architectures import text_batch, tiny_model, tiny_scorer
from tests.pipeline.providers.conftest import CPU, Learned

VARIANTS = ["lora", "rslora", "dora"]


def load(folder: Path, *, task: Task = "causal_lm", dtype: torch.dtype = torch.float32, **fields: Any) -> Any:
    config = ModelConfig(base_model=str(folder), **fields)
    return huggingface.load_model(config, task=task, weight_dtype=dtype, device=CPU)


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load(folder, **options)
    return str(caught.value)


def lora_layers(model: torch.nn.Module) -> list[LoraLayer]:
    return [module for module in model.modules() if isinstance(module, LoraLayer)]


@pytest.mark.parametrize(("variant", "scale"), [("lora", 32 / 16), ("dora", 32 / 16), ("rslora", 32 / 16**0.5)])
def test_variant_scales_as_published(variant: str, scale: float) -> None:
    model = huggingface.attach_lora(tiny_model("llama"), LoraConfig(variant=variant), task="causal_lm")
    assert {layer.scaling["default"] for layer in lora_layers(model)} == {scale}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert any("lora_magnitude_vector" in name for name in trained) == (variant == "dora")


@pytest.mark.parametrize("quantization", ["none", "4bit"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_fresh_adapter_changes_nothing_and_takes_narrow_inputs(
    learned: Learned, variant: str, quantization: str
) -> None:
    base = learned.load(torch.bfloat16, quantization=quantization)
    before = learned.token_log_probabilities(base, torch.bfloat16)
    model = huggingface.attach_lora(base, LoraConfig(variant=variant), task="causal_lm")
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    seen: set[torch.dtype] = set()
    for layer in lora_layers(model):
        layer.lora_A["default"].register_forward_pre_hook(lambda _, inputs: seen.add(inputs[0].dtype))
    assert torch.equal(learned.token_log_probabilities(model, torch.bfloat16), before)
    # DoRA sends a whole unit matrix through the adapter to see its product.
    assert seen == ({torch.bfloat16, torch.float32} if variant == "dora" else {torch.bfloat16})


@pytest.mark.parametrize("architecture", ["gemma3", "llama"])
def test_trained_embeddings_and_heads_are_fp32_and_get_the_gradients_of_both_ends(architecture: str) -> None:
    model = tiny_model(architecture).to(torch.bfloat16)
    adapted = huggingface.attach_lora(model, LoraConfig(rank=4, train_embeddings=True), task="causal_lm")
    whole = {name: weight for name, weight in adapted.named_parameters() if "modules_to_save" in name}
    assert len(whole) == (1 if model.config.tie_word_embeddings else 2)
    assert {weight.dtype for weight in adapted.parameters() if weight.requires_grad} == {torch.float32}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        adapted(**text_batch()).loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in whole.values())


def test_scorer_has_one_number_and_a_wide_head(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    model = load(tmp_path, task="seq_cls", dtype=torch.bfloat16)
    adapted = huggingface.attach_lora(model, LoraConfig(rank=4), task="seq_cls")
    head = adapted.get_base_model().score.modules_to_save["default"].weight
    assert (tuple(head.shape), head.dtype, head.requires_grad) == ((1, 32), torch.float32, True)


def test_pickled_weights_are_loaded_only_with_a_yes(tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert "turn model.allow_pickle on if you trust this one" in refusal(tmp_path)
    loaded = load(tmp_path, allow_pickle=True)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


@pytest.mark.parametrize("kind", ["encoder", "sequence_to_sequence", "embedder", "scorer"])
def test_model_that_writes_no_text_is_refused(kind: str, tmp_path: Path) -> None:
    small = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    match kind:
        case "encoder":
            model: Any = BertForMaskedLM(BertConfig(**small, intermediate_size=16))
        case "sequence_to_sequence":
            model = T5ForConditionalGeneration(
                T5Config(vocab_size=64, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
            )
        case "embedder":
            model = tiny_model("gemma3").model
            assert isinstance(model, Gemma3TextModel)
        case _:
            model = tiny_scorer("llama")
    model.save_pretrained(tmp_path)
    assert refusal(tmp_path) == (
        f"{tmp_path} was saved as {type(model).__name__}, which has no head that writes text. Choose a model for text "
        "generation, such as google/gemma-3-1b-it."
    )


def test_scorer_can_be_trained_on_as_a_scorer(tmp_path: Path) -> None:
    tiny_scorer("llama").save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path, task="seq_cls").score.weight, tiny_scorer("llama").score.weight)


def test_weights_that_are_promised_and_missing_are_named(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["lm_head.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    assert f"{tmp_path} lacks weights that its config.json promises (lm_head.weight)" in refusal(tmp_path)
    for layer in range(3):
        del weights[f"model.layers.{layer}.mlp.up_proj.weight"]
        del weights[f"model.layers.{layer}.mlp.gate_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    assert "(lm_head.weight, model.layers.0.mlp.gate_proj.weight, model.layers.0.mlp.up_proj.weight and 4 more)" in (
        refusal(tmp_path)
    )
    assert "lacks weights" in refusal(tmp_path, task="seq_cls")
