"""Models that see images as GGUF files: one of the language, one of the eyes, and llama.cpp tells what it sees."""

import json
import re
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file, save_file

from pipeline.exporters.gguf.convert import GgufFailed, convert
from pipeline.exporters.gguf.runtime import served
from pipeline.exporters.gguf.vision import check_pictures, convert_vision, has_vision
from pipeline.exporters.merge import merge_adapter
from tests.pipeline.exporters.families import build_family, build_seeing, train_adapter

# What the converter calls the weights, by what the model calls them.
_NAMES = {
    r"vision_tower\.(vision_model\.)?": "v.",
    r"encoder\.layers": "blk",
    r"layer_norm": "ln",
    r"mlp\.fc1": "ffn_up",
    r"mlp\.fc2": "ffn_down",
    r"self_attn\.([qkv])_proj": r"attn_\1",
    r"self_attn\.out_proj": "attn_out",
    r"embeddings\.patch_embedding": "patch_embd",
    r"embeddings\.position_embedding": "position_embd",
    r"post_layernorm": "post_ln",
    r"multi_modal_projector\.mm_": "mm.",
    r"projection_weight": "projection.weight",
}
_EYES = ("vision_tower.", "multi_modal_projector.")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_seeing(tmp_path_factory.mktemp("seeing") / "base")


@pytest.fixture(scope="module")
def language(seeing: Path) -> Path:
    """Its language model as a GGUF file."""
    file = seeing.parent / "language.gguf"
    convert(seeing, file, dtype="bf16")
    return file


def eyes_of(model: Path) -> dict[str, torch.Tensor]:
    """What the model's files have for images, by the converter's names; it has no place for the head, nor Gemma."""
    found = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.startswith(_EYES) and ".head." not in name:
            for ours, theirs in _NAMES.items():
                name = re.sub(ours, theirs, name)
            found[name] = weight.float()
    return found


def assert_has_eyes(file: Path, model: Path) -> None:
    expected = eyes_of(model)
    written = {
        tensor.name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in GGUFReader(file).tensors
    }
    assert written.keys() == expected.keys()
    assert len(written) == 39
    for name, weight in expected.items():
        # llama.cpp has Gemma's norms as they are multiplied.
        weight = weight + 1.0 if name == "mm.soft_emb_norm.weight" else weight
        torch.testing.assert_close(written[name], weight, rtol=2**-8, atol=1e-6, msg=name)


def test_eyes_become_a_file_of_their_own(seeing: Path, tmp_path: Path) -> None:
    assert has_vision(seeing)
    assert any(name.startswith("vision_tower.embeddings.") for name in load_file(seeing / "model.safetensors"))
    convert_vision(seeing, tmp_path / "eyes.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["eyes.gguf"]
    assert_has_eyes(tmp_path / "eyes.gguf", seeing)


def test_pictures_are_seen_as_the_model_sees_them(seeing: Path, language: Path, tmp_path: Path) -> None:
    convert_vision(seeing, tmp_path / "eyes.gguf")
    with served(language, vision=tmp_path / "eyes.gguf") as model:
        check = check_pictures(model, seeing, number_format="bf16")
    assert check.passed, check


def test_eyes_of_another_model_are_noticed(seeing: Path, language: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in seeing.iterdir():
        (other / file.name).symlink_to(file)
    weights = load_file(seeing / "model.safetensors")
    name = "multi_modal_projector.mm_input_projection_weight"
    (other / "model.safetensors").unlink()
    save_file({**weights, name: weights[name].flip(0)}, other / "model.safetensors", {"format": "pt"})
    convert_vision(other, tmp_path / "eyes.gguf")
    with served(language, vision=tmp_path / "eyes.gguf") as model:
        check = check_pictures(model, seeing, number_format="bf16")
    assert not check.passed
    assert "After 3 pictures, next tokens differ by" in check.message


def test_merged_model_sees_with_the_names_of_its_base(seeing: Path, tmp_path: Path) -> None:
    # As the models were published.
    base = tmp_path / "published"
    base.mkdir()
    for file in seeing.iterdir():
        (base / file.name).symlink_to(file)
    weights = load_file(seeing / "model.safetensors")
    (base / "model.safetensors").unlink()
    named = {name.replace("vision_tower.", "vision_tower.vision_model."): weight for name, weight in weights.items()}
    save_file(named, base / "model.safetensors", {"format": "pt"})
    adapter = train_adapter(base, tmp_path / "adapter")
    merged = tmp_path / "merged"
    merged.mkdir()
    merge_adapter(base, adapter, merged, dtype=torch.bfloat16)
    assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in load_file(merged / "model.safetensors")
    convert(merged, tmp_path / "language.gguf", dtype="bf16")
    convert_vision(merged, tmp_path / "eyes.gguf")
    assert_has_eyes(tmp_path / "eyes.gguf", merged)
    with served(tmp_path / "language.gguf", vision=tmp_path / "eyes.gguf") as model:
        check = check_pictures(model, merged, number_format="bf16")
    assert check.passed, check


def test_model_without_eyes_has_none(tmp_path: Path) -> None:
    blind = build_family("gemma3", tmp_path / "blind")
    assert json.loads((blind / "config.json").read_text("utf-8"))["model_type"] == "gemma3_text"
    assert not has_vision(blind)
    with pytest.raises(GgufFailed, match="Converting failed"):
        convert_vision(blind, tmp_path / "eyes.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["blind"]
