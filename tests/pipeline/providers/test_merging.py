"""Merging: the merged model says what the trained one said, also after training on quantized weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import TrainingDiverged
from pipeline.providers import huggingface
from tests.pipeline.providers.architectures import text_batch, tiny_model, tiny_scorer
from tests.pipeline.providers.conftest import CPU, Learned, train_adapter

# What training moved must be far more than what merging may lose.
MOVED = 0.2


def merged_from_disk(model: Any, config: ModelConfig, dtype: torch.dtype, folder: Path) -> Any:
    huggingface.save_merged(model, folder, config=config, dtype=dtype)
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("bits", "variant", "dtype", "allowed"),
    [
        ("none", "lora", torch.float32, 1e-4),
        ("none", "rslora", torch.float32, 1e-4),
        ("none", "dora", torch.float32, 1e-4),
        ("none", "dora", torch.bfloat16, 0.02),
        ("4bit", "lora", torch.float32, 0.05),
        ("4bit", "dora", torch.bfloat16, 0.05),
        ("8bit", "rslora", torch.bfloat16, 0.02),
    ],
)
def test_merged_model_expects_what_the_trained_one_expects(
    learned: Learned, tmp_path: Path, bits: str, variant: str, dtype: torch.dtype, allowed: float
) -> None:
    base = learned.load(dtype, quantization=bits)
    untrained = learned.token_log_probabilities(base, dtype)
    model, _ = train_adapter(learned, base, dtype=dtype, variant=variant)
    trained = learned.token_log_probabilities(model, dtype)
    merged = merged_from_disk(model, learned.config(quantization=bits), dtype, tmp_path)
    assert {weight.dtype for weight in merged.parameters()} == {dtype}
    assert (trained - untrained).abs().mean() > MOVED
    assert (learned.token_log_probabilities(merged, dtype) - trained).abs().mean() < allowed


@pytest.mark.parametrize("bits", ["none", "8bit"])
@pytest.mark.parametrize("architecture", ["gemma3", "gpt2", "gemma4_multimodal", "llama"])
def test_trained_embeddings_are_merged_and_stay_tied_or_apart(architecture: str, bits: str, tmp_path: Path) -> None:
    whole = tiny_model(architecture)
    whole.save_pretrained(tmp_path / "base")
    config = ModelConfig(base_model=str(tmp_path / "base"), quantization=bits)
    base = huggingface.load_model(config, task="causal_lm", weight_dtype=torch.float32, device=CPU)
    model = huggingface.attach_lora(base, LoraConfig(rank=4, train_embeddings=True), task="causal_lm")
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(3):
        model(**text_batch()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        trained = model.eval()(**text_batch()).logits
    embedding, head = model.get_input_embeddings().weight.detach().clone(), model.get_output_embeddings().weight
    assert torch.equal(embedding, head) == whole.config.tie_word_embeddings
    assert (embedding - whole.get_input_embeddings().weight).abs().max() > 0.01

    merged = merged_from_disk(model, config, torch.float32, tmp_path / "merged")
    tied = merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    assert tied == merged.config.tie_word_embeddings == whole.config.tie_word_embeddings
    assert torch.equal(merged.get_input_embeddings().weight, embedding)
    with torch.no_grad():
        difference = (merged.eval()(**text_batch()).logits - trained).abs()
    assert difference.mean() < (1e-5 if bits == "none" else 0.01)


def test_head_of_a_scorer_is_merged(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path / "base")
    config = ModelConfig(base_model=str(tmp_path / "base"), quantization="4bit")
    base = huggingface.load_model(config, task="seq_cls", weight_dtype=torch.float32, device=CPU)
    model = huggingface.attach_lora(base, LoraConfig(rank=4), task="seq_cls")
    head = model.get_base_model().score.modules_to_save["default"].weight
    torch.nn.init.constant_(head, 0.125)
    huggingface.save_merged(model, tmp_path / "merged", config=config, dtype=torch.float32)
    merged = type(tiny_scorer("llama")).from_pretrained(tmp_path / "merged")
    assert torch.equal(merged.score.weight, head)


def test_broken_adapter_is_not_merged(learned: Learned, tmp_path: Path) -> None:
    model = huggingface.attach_lora(learned.load(torch.float32), LoraConfig(rank=4), task="causal_lm")
    broken = next(weight for weight in model.parameters() if weight.requires_grad)
    torch.nn.init.constant_(broken, float("nan"))
    with pytest.raises(TrainingDiverged, match=r"lora_A.* holds values that are no numbers. Lower the learning rate"):
        huggingface.save_merged(model, tmp_path / "merged", config=learned.config(), dtype=torch.float32)
