"""Models as ONNX graphs: onnxruntime says what the trained model says, of texts of any length."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from pipeline.exporters.onnx import convert as conversion
from pipeline.exporters.onnx.convert import OnnxFailed, OnnxNotInstalled, convert, require_onnx
from pipeline.exporters.onnx.runtime import OnnxModel
from pipeline.exporters.parity import ask, compare
from pipeline.exporters.trained_model import TrainedModel
from tests.pipeline.exporters.families import FAMILIES, build_family, train_adapter


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a model and of its graph."""
    root = tmp_path_factory.mktemp("llama")
    base = build_family("llama", root / "base")
    convert(base, root / "graph")
    return base, root / "graph"


def assert_says_the_same(graph: Path, base: Path) -> None:
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    model, expected = OnnxModel(graph), TrainedModel.read(base)
    report = compare(ask(model, vocabulary=vocabulary), ask(expected, vocabulary=vocabulary), number_format="bf16")
    assert report.passed, report
    assert report.largest_difference < 1e-3
    assert report.matched_answers == 1.0
    # Longer than the sample was, and than Gemma looks back in most layers.
    tokens = expected.token_ids("The ruby has 7 carats. " * 20, add_special=True)
    assert len(tokens) > 100
    difference = model.log_probabilities(tokens, vocabulary=vocabulary) - expected.log_probabilities(
        tokens, vocabulary=vocabulary
    )
    assert difference.abs().max() < 1e-3


def test_graph_says_what_the_model_says(llama: tuple[Path, Path]) -> None:
    base, graph = llama
    assert_says_the_same(graph, base)
    names = {file.name for file in graph.iterdir()}
    assert names >= {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"}
    assert not any(name.endswith(".safetensors") for name in names)
    # Weights lie beside the graph, which could not hold more than 2 GB.
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    assert (graph / "model.onnx.data").stat().st_size > 0.9 * weights
    assert (graph / "model.onnx").stat().st_size < 0.2 * weights
    assert {file.name for file in graph.parent.iterdir()} == {"base", "graph"}


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "llama"])
def test_every_family_says_in_onnx_what_it_said(family: str, tmp_path: Path) -> None:
    base = build_family(family, tmp_path / "base")
    convert(base, tmp_path / "graph")
    assert_says_the_same(tmp_path / "graph", base)


def test_several_texts_of_another_length_are_read_at_once(llama: tuple[Path, Path]) -> None:
    import onnxruntime

    base, graph = llama
    session = onnxruntime.InferenceSession(str(graph / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = torch.randint(300, (3, 17), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    (logits,) = session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    with torch.no_grad():
        expected = TrainedModel.read(base).model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-3)


def test_graph_of_another_model_is_noticed(llama: tuple[Path, Path], tmp_path: Path) -> None:
    base, graph = llama
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    trained = TrainedModel.read(base, adapter=train_adapter(base, tmp_path / "adapter"))
    report = compare(
        ask(OnnxModel(graph), vocabulary=vocabulary), ask(trained, vocabulary=vocabulary), number_format="bf16"
    )
    assert "log_probabilities" in {check.name for check in report.checks if not check.passed}


def test_damaged_graph_is_a_sentence(llama: tuple[Path, Path], tmp_path: Path) -> None:
    broken = shutil.copytree(llama[1], tmp_path / "broken")
    (broken / "model.onnx").write_bytes((broken / "model.onnx").read_bytes()[:1000])
    with pytest.raises(OnnxFailed, match=r"cannot read model\.onnx"):
        OnnxModel(broken)
    broken = shutil.copytree(llama[1], tmp_path / "without")
    (broken / "model.onnx.data").unlink()
    with pytest.raises(OnnxFailed, match=r"model\.onnx\.data"):
        OnnxModel(broken)


def test_model_that_cannot_be_a_graph_is_a_sentence(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "unheard_of"}), encoding="utf-8")
    with pytest.raises(OnnxFailed, match="Writing the ONNX graph failed.*unheard_of"):
        convert(model, tmp_path / "graph")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_missing_package_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_onnx()
    monkeypatch.setattr(conversion, "_PACKAGES", ("onnx", "package_that_nobody_has"))
    with pytest.raises(OnnxNotInstalled, match=r'package_that_nobody_has.*pip install "lapidary\[onnx\]"') as caught:
        convert(tmp_path, tmp_path / "graph")
    assert caught.value.code == "onnx_not_installed"
