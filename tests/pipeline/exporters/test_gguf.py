"""The way to GGUF, for each family: merged, converted, quantized, and compared with the trained model by llama.cpp."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from pipeline.exporters.gguf.convert import GgufFailed, convert, quantize
from pipeline.exporters.gguf.runtime import served
from pipeline.exporters.gguf.tools import GgufNotInstalled, converter
from pipeline.exporters.merge import merge_adapter
from pipeline.exporters.parity import ParityReport, ask, compare
from pipeline.exporters.trained_model import TrainedModel
from tests.pipeline.exporters.families import FAMILIES, build_family, train_adapter


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Path]]:
    """Of families that were asked for: the folders of base, adapter and merged model."""
    return {}


def folders(family: str, exported: dict[str, tuple[Path, Path, Path]], factory: pytest.TempPathFactory) -> None:
    root = factory.mktemp(family)
    base = build_family(family, root / "base")
    adapter = train_adapter(base, root / "adapter")
    merged = root / "merged"
    merged.mkdir()
    merge_adapter(base, adapter, merged, dtype=torch.bfloat16)
    exported[family] = (base, adapter, merged)


def compared(file: Path, base: Path, adapter: Path, number_format: str) -> ParityReport:
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    expected = ask(TrainedModel.read(base, adapter=adapter), vocabulary=vocabulary)
    with served(file) as model:
        return compare(ask(model, vocabulary=vocabulary), expected, number_format=number_format)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name != "gemma3")) for name in FAMILIES]
)
def test_every_family_says_in_gguf_what_it_said(
    family: str, exported: dict[str, tuple[Path, Path, Path]], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    if family not in exported:
        folders(family, exported, tmp_path_factory)
    base, adapter, merged = exported[family]
    whole = tmp_path / "model-bf16.gguf"
    convert(merged, whole, dtype="bf16")
    report = compared(whole, base, adapter, "bf16")
    assert report.passed, [check for check in report.checks if not check.passed]
    for kind in ("q8_0", "q4_k_m"):
        smaller = tmp_path / f"model-{kind}.gguf"
        quantize(whole, smaller, kind)
        assert smaller.stat().st_size < whole.stat().st_size
        report = compared(smaller, base, adapter, kind)
        assert report.passed, [check for check in report.checks if not check.passed]
        assert report.divergence < 0.5
    # No stage is left behind.
    assert all(file.suffix == ".gguf" for file in tmp_path.iterdir())


def test_what_transformers_5_does_not_write_is_made_again(
    exported: dict[str, tuple[Path, Path, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "gemma3" not in exported:
        folders("gemma3", exported, tmp_path_factory)
    base, adapter, merged = exported["gemma3"]
    again = tmp_path / "again"
    shutil.copytree(merged, again)
    settings = again / "tokenizer_config.json"
    document = json.loads(settings.read_text("utf-8"))
    del document["added_tokens_decoder"]
    settings.write_text(json.dumps(document), encoding="utf-8")
    convert(again, tmp_path / "whole.gguf", dtype="f16")
    assert compared(tmp_path / "whole.gguf", base, adapter, "f16").passed
    # Without that, special tokens become text, and nothing fails but the gate.
    monkeypatch.setattr("pipeline.exporters.gguf.convert.added_tokens", lambda folder: {})
    monkeypatch.setattr("pipeline.exporters.gguf.sentencepiece_file._CONTROL", 1)
    convert(again, tmp_path / "broken.gguf", dtype="f16")
    report = compared(tmp_path / "broken.gguf", base, adapter, "f16")
    assert "template" in {check.name for check in report.checks if not check.passed}


def test_model_that_the_converter_does_not_know_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(
        json.dumps({"model_type": "unheard_of", "architectures": ["UnheardOfForCausalLM"]}), encoding="utf-8"
    )
    with pytest.raises(GgufFailed, match="Converting failed.*UnheardOf"):
        convert(tmp_path / "model", tmp_path / "model.gguf", dtype="f16")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_damaged_file_takes_nothing_down(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(GgufFailed, match="could not load"), served(tmp_path / "broken.gguf"):
        pass
    with pytest.raises(GgufFailed, match="Quantizing to q8_0 failed"):
        quantize(tmp_path / "broken.gguf", tmp_path / "small.gguf", "q8_0")


def test_folder_without_a_converter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    with pytest.raises(GgufNotInstalled, match="no convert_hf_to_gguf.py"):
        converter()
