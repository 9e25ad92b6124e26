"""Merging file by file gives what PEFT's merging in memory gives, for every architecture and variant."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import ModelUnavailable, TrainingDiverged
from pipeline.exporters.adapter_weights import NotStreamable
from pipeline.exporters.merge import merge_adapter
from pipeline.providers import huggingface
from tests.pipeline.providers.architectures import ARCHITECTURES, text_batch, tiny_model, tiny_scorer
from tests.tiny_gemma import build_tiny_gemma

CPU = torch.device("cpu")
# One unit in the last place of a number in bf16, which has 8 bits of precision.
BF16_ULP = 2**-7
IMAGE_MODELS = ("gemma3_multimodal", "gemma4_multimodal")


def adapted(base: Path, *, task: Any = "causal_lm", bits: str = "none", **tuning: Any) -> PeftModel:
    """The model with an adapter that changes what it says."""
    config = ModelConfig(base_model=str(base), quantization=bits)
    model = huggingface.load_model(config, task=task, weight_dtype=torch.float32, device=CPU)
    lora = huggingface.attach_lora(model, LoraConfig(rank=4, alpha=6, **tuning), task=task)
    generator = torch.Generator().manual_seed(1)
    for name, weight in lora.named_parameters():
        if weight.requires_grad:
            noise = torch.randn(weight.shape, generator=generator)
            # Lengths of rows stay positive.
            weight.data += weight.data.abs() * noise / 20 if "magnitude" in name else noise / 10
    return lora


def saved(model: PeftModel, folder: Path) -> Path:
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def base_of(architecture: str, folder: Path, **options: Any) -> Path:
    tiny_model(architecture).save_pretrained(folder, **options)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    return found


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**text_batch()).logits.float()


# DoRA on transposed layers is merged in memory.
@pytest.mark.parametrize(
    ("architecture", "variant"),
    [pair for pair in product(ARCHITECTURES, ("lora", "rslora", "dora")) if pair != ("gpt2", "dora")],
)
def test_every_architecture_is_merged_as_peft_merges_it(architecture: str, variant: str, tmp_path: Path) -> None:
    base = base_of(architecture, tmp_path / "base")
    model = adapted(base, variant=variant)
    adapter, expected = saved(model, tmp_path / "adapter"), logits(model)
    for dtype, folder in ((torch.float32, tmp_path / "whole"), (torch.bfloat16, tmp_path / "rounded")):
        folder.mkdir()
        merge_adapter(base, adapter, folder, dtype=dtype)
    assert (logits(AutoModelForCausalLM.from_pretrained(tmp_path / "whole")) - expected).abs().max() < 1e-4
    in_memory = model.merge_and_unload()
    in_memory.save_pretrained(tmp_path / "in_memory")
    ours, theirs = weights_of(tmp_path / "rounded"), weights_of(tmp_path / "in_memory")
    assert ours.keys() == theirs.keys() == weights_of(base).keys()
    for name, weight in theirs.items():
        assert ours[name].dtype == torch.bfloat16
        assert torch.allclose(ours[name].float(), weight.bfloat16().float(), rtol=BF16_ULP, atol=1e-6), name


@pytest.mark.parametrize("architecture", ["gemma3", "llama", "smollm", "gpt2", "gemma3_multimodal"])
def test_trained_embeddings_take_the_place_of_the_base_s(architecture: str, tmp_path: Path) -> None:
    base = base_of(architecture, tmp_path / "base")
    model = adapted(base, train_embeddings=True)
    adapter, expected = saved(model, tmp_path / "adapter"), logits(model)
    (tmp_path / "merged").mkdir()
    merge_adapter(base, adapter, tmp_path / "merged", dtype=torch.float32)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert (logits(merged) - expected).abs().max() < 1e-4
    tied = merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    assert tied == tiny_model(architecture).config.get_text_config().tie_word_embeddings


def test_head_that_was_trained_apart_is_no_longer_the_embedding(tmp_path: Path) -> None:
    base = base_of("gemma3", tmp_path / "base")
    model = adapted(base, train_embeddings=True)
    adapter = saved(model, tmp_path / "adapter")
    # As others write it, who train the two apart.
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if "embed_tokens" in name)
    head = weights[name] + 1.0
    save_file({**weights, "base_model.model.lm_head.weight": head}, file)
    (tmp_path / "merged").mkdir()
    merge_adapter(base, adapter, tmp_path / "merged", dtype=torch.float32)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert not merged.config.tie_word_embeddings
    assert torch.equal(merged.get_output_embeddings().weight, head)
    assert torch.equal(merged.get_input_embeddings().weight, weights[name])


# PEFT tells that it has seen the base's transposed layers.
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
@pytest.mark.parametrize("architecture", ["gemma3", "gpt2"])
def test_adapter_of_a_quantized_model_goes_onto_the_whole_base(architecture: str, bits: str, tmp_path: Path) -> None:
    base = base_of(architecture, tmp_path / "base")
    adapter = saved(adapted(base, bits=bits), tmp_path / "adapter")
    (tmp_path / "merged").mkdir()
    merge_adapter(base, adapter, tmp_path / "merged", dtype=torch.float32)
    # On the whole base, the adapter says the same unmerged.
    whole = PeftModel.from_pretrained(tiny_model(architecture), adapter, fan_in_fan_out=architecture == "gpt2")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert (logits(merged) - logits(whole)).abs().max() < 1e-4


def test_model_in_several_files_stays_in_several_files(tmp_path: Path) -> None:
    base = base_of("llama", tmp_path / "base", max_shard_size="30KB")
    files = {file.name for file in base.glob("*.safetensors")}
    assert len(files) > 2
    model = adapted(base)
    adapter, expected = saved(model, tmp_path / "adapter"), logits(model)
    (tmp_path / "merged").mkdir()
    told: list[tuple[int, int]] = []
    merge_adapter(
        base, adapter, tmp_path / "merged", dtype=torch.bfloat16, progress=lambda *progress: told.append(progress)
    )
    assert {file.name for file in (tmp_path / "merged").glob("*.safetensors")} == files
    index = json.loads((tmp_path / "merged" / "model.safetensors.index.json").read_text("utf-8"))
    weights = weights_of(tmp_path / "merged")
    size = sum(weight.numel() * weight.element_size() for weight in weights.values())
    assert index["metadata"]["total_size"] == size
    assert index["weight_map"].keys() == weights.keys()
    assert told == sorted(told)
    assert told[-1] == (size, size)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert (logits(merged) - expected).abs().max() < 0.1


def test_rows_are_merged_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = base_of("gemma3", tmp_path / "base")
    adapter = saved(adapted(base, variant="dora"), tmp_path / "adapter")
    for folder in ("at_once", "in_pieces"):
        (tmp_path / folder).mkdir()
    merge_adapter(base, adapter, tmp_path / "at_once", dtype=torch.float32)
    monkeypatch.setattr("pipeline.exporters.merge._PIECE_BYTES", 7 * 32 * 4)
    merge_adapter(base, adapter, tmp_path / "in_pieces", dtype=torch.float32)
    whole, pieces = weights_of(tmp_path / "at_once"), weights_of(tmp_path / "in_pieces")
    for name, weight in whole.items():
        torch.testing.assert_close(pieces[name], weight, rtol=1e-6, atol=1e-6)


def test_small_files_are_the_base_s_and_the_template_the_adapter_s(tmp_path: Path) -> None:
    base = build_tiny_gemma(tmp_path / "base")
    settings = base / "tokenizer_config.json"
    stated = json.loads(settings.read_text("utf-8"))
    settings.write_text(json.dumps({**stated, "vocab_file": str(base / "tokenizer.model")}), encoding="utf-8")
    (base / "tokenizer.model").write_bytes(b"sentencepiece")
    (base / "README.md").write_text("# The base model", encoding="utf-8")
    (base / "LICENSE").write_text("Terms", encoding="utf-8")
    adapter = saved(adapted(base), tmp_path / "adapter")
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    (adapter / "chat_template.jinja").write_text(template, encoding="utf-8")
    folder = tmp_path / "merged"
    folder.mkdir()
    merge_adapter(base, adapter, folder, dtype=torch.bfloat16)
    names = {file.name for file in folder.iterdir()}
    assert {"tokenizer.model", "LICENSE", "generation_config.json", "config.json", "tokenizer.json"} <= names
    assert not names & {"README.md", "adapter_config.json"}
    written = (folder / "tokenizer_config.json").read_text("utf-8")
    assert str(tmp_path) not in written
    tokens = {token["content"] for token in json.loads(written)["added_tokens_decoder"].values()}
    assert {"<start_of_turn>", "<end_of_turn>"} <= tokens
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == template
    assert (
        tokenizer("a<start_of_turn>b").input_ids == AutoTokenizer.from_pretrained(base)("a<start_of_turn>b").input_ids
    )


def test_images_are_seen_as_before(tmp_path: Path) -> None:
    base = base_of("gemma3_multimodal", tmp_path / "base")
    model = adapted(base, task="image_text_to_text")
    adapter, expected = saved(model, tmp_path / "adapter"), logits(model)
    (tmp_path / "merged").mkdir()
    merge_adapter(base, adapter, tmp_path / "merged", dtype=torch.float32)
    assert (logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")) - expected).abs().max() < 1e-4
    ours, before = weights_of(tmp_path / "merged"), weights_of(base)
    eyes = [name for name in before if "vision" in name]
    assert eyes
    assert all(torch.equal(ours[name], before[name]) for name in eyes)


def test_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    adapter = saved(adapted(base_of("gemma3", tmp_path / "base")), tmp_path / "adapter")
    other = base_of("gpt2", tmp_path / "other")
    with pytest.raises(ModelUnavailable, match="does not belong to the model in"):
        merge_adapter(other, adapter, tmp_path, dtype=torch.float32)
    wide = AutoModelForCausalLM.from_config(
        type(tiny_model("gemma3").config)(**{**tiny_model("gemma3").config.to_dict(), "hidden_size": 64})
    )
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelUnavailable, match=r"is \(64, 32\) there|is \(\d+, 64\) there"):
        merge_adapter(tmp_path / "wide", adapter, tmp_path, dtype=torch.float32)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    base = base_of("llama", tmp_path / "base")
    model = adapted(base)
    broken = next(weight for weight in model.parameters() if weight.requires_grad)
    torch.nn.init.constant_(broken, float("inf"))
    adapter = saved(model, tmp_path / "adapter")
    with pytest.raises(TrainingDiverged, match="values that are no numbers"):
        merge_adapter(base, adapter, tmp_path, dtype=torch.float32)


def test_damaged_files_are_a_sentence(tmp_path: Path) -> None:
    base = base_of("llama", tmp_path / "base")
    adapter = saved(adapted(base), tmp_path / "adapter")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="is damaged"):
        merge_adapter(base, adapter, tmp_path, dtype=torch.float32)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="no adapter that can be read"):
        merge_adapter(base, adapter, tmp_path, dtype=torch.float32)


def test_what_cannot_be_merged_by_file_is_told(tmp_path: Path) -> None:
    base = base_of("llama", tmp_path / "base")
    scorer = adapted(base, task="seq_cls")
    assert type(scorer.get_base_model()) is type(tiny_scorer("llama"))
    with pytest.raises(NotStreamable, match="scores texts"):
        merge_adapter(base, saved(scorer, tmp_path / "scorer"), tmp_path, dtype=torch.float32)
    adapter = saved(adapted(base), tmp_path / "adapter")
    (base / "model.safetensors").rename(base / "elsewhere")
    with pytest.raises(NotStreamable, match="no safetensors"):
        merge_adapter(base, adapter, tmp_path, dtype=torch.float32)
    transposed = base_of("gpt2", tmp_path / "transposed")
    with pytest.raises(NotStreamable, match="transposed"):
        merge_adapter(
            transposed, saved(adapted(transposed, variant="dora"), tmp_path / "dora"), tmp_path, dtype=torch.float32
        )
