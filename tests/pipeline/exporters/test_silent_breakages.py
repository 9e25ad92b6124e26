"""What makes a file load and answer and say something else: each turns the gate red, and it says which part."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from pipeline.exporters.gguf import convert as converting
from pipeline.exporters.gguf.convert import convert
from pipeline.exporters.gguf.runtime import served
from pipeline.exporters.merge import merge_adapter
from pipeline.exporters.parity import ParityReport, ask, compare
from pipeline.exporters.trained_model import TrainedModel
from tests.pipeline.exporters.families import LAYERS, build_family, byte_level_tokenizer, train_adapter

# Words that the small vocabularies have whole.
QUESTIONS = ("How many carats has the ruby?",)
Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Folders]:
    """The folders of base and adapter of a family."""
    found: dict[str, Folders] = {}

    def of(family: str) -> Folders:
        if family not in found:
            root = tmp_path_factory.mktemp(family)
            base = build_family(family, root / "base")
            found[family] = base, train_adapter(base, root / "adapter")
        return found[family]

    return of


def merged(base: Path, adapter: Path, folder: Path) -> Path:
    folder.mkdir()
    merge_adapter(base, adapter, folder, dtype=torch.bfloat16)
    return folder


def red_parts(file: TrainedModel | Path, base: Path, adapter: Path) -> set[str]:
    """The names of the checks that a model, or a GGUF file, fails."""
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    expected = ask(TrainedModel.read(base, adapter=adapter), vocabulary=vocabulary, questions=QUESTIONS)

    def judged(said: object) -> ParityReport:
        answers = ask(said, vocabulary=vocabulary, questions=QUESTIONS)  # type: ignore[arg-type]
        return compare(answers, expected, number_format="bf16", questions=QUESTIONS)

    if isinstance(file, TrainedModel):
        report = judged(file)
    else:
        with served(file) as model:
            report = judged(model)
    return {check.name for check in report.checks if not check.passed}


def changed(file: Path, **values: object) -> None:
    document = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**document, **values}), encoding="utf-8")


def test_adapter_of_another_strength_is_seen(made: Callable[[str], Folders], tmp_path: Path) -> None:
    base, adapter = made("gemma3")
    stronger = tmp_path / "stronger"
    shutil.copytree(adapter, stronger)
    alpha = json.loads((adapter / "adapter_config.json").read_text("utf-8"))["lora_alpha"]
    changed(stronger / "adapter_config.json", lora_alpha=3 * alpha)
    wrong = merged(base, stronger, tmp_path / "merged")
    assert "log_probabilities" in red_parts(TrainedModel.read(wrong), base, adapter)


def test_lost_adapter_is_seen(made: Callable[[str], Folders]) -> None:
    base, adapter = made("gemma3")
    assert "log_probabilities" in red_parts(TrainedModel.read(base), base, adapter)


def test_another_chat_template_is_seen(made: Callable[[str], Folders], tmp_path: Path) -> None:
    base, adapter = made("gemma3")
    wrong = merged(base, adapter, tmp_path / "merged")
    template = wrong / "chat_template.jinja"
    template.write_text(template.read_text("utf-8").replace("<end_of_turn>", ""), encoding="utf-8")
    assert red_parts(TrainedModel.read(wrong), base, adapter) >= {"template"}


def test_lost_end_of_turn_is_seen(made: Callable[[str], Folders], tmp_path: Path) -> None:
    base, adapter = made("gemma3")
    wrong = merged(base, adapter, tmp_path / "merged")
    changed(wrong / "generation_config.json", eos_token_id=1)
    assert red_parts(TrainedModel.read(wrong), base, adapter) == {"end_of_turn"}


@pytest.mark.slow
def test_another_way_to_split_text_is_seen(tmp_path: Path) -> None:
    # A vocabulary of its own, whose words keep their punctuation, in a family that llama.cpp takes to split otherwise.
    base = build_family("llama", tmp_path / "base")
    byte_level_tokenizer(pattern=r"\S+|\s+").save_pretrained(base)
    adapter = train_adapter(base, tmp_path / "adapter")
    convert(merged(base, adapter, tmp_path / "merged"), tmp_path / "wrong.gguf", dtype="bf16")
    assert "template" in red_parts(tmp_path / "wrong.gguf", base, adapter)


@pytest.mark.slow
def test_sparsity_that_llama_cpp_does_not_know_is_seen(tmp_path: Path) -> None:
    base = build_family("gemma3n", tmp_path / "base", activation_sparsity_pattern=[0.0] * LAYERS)
    adapter = train_adapter(base, tmp_path / "adapter")
    convert(merged(base, adapter, tmp_path / "merged"), tmp_path / "wrong.gguf", dtype="bf16")
    assert "log_probabilities" in red_parts(tmp_path / "wrong.gguf", base, adapter)


def test_vocabulary_without_its_scores_is_seen(
    made: Callable[[str], Folders], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The converter then takes Gemma's vocabulary for another kind.
    base, adapter = made("gemma3")
    monkeypatch.setattr(converting, "write_sentencepiece", lambda folder: None)
    convert(merged(base, adapter, tmp_path / "merged"), tmp_path / "wrong.gguf", dtype="bf16")
    assert "token_ids" in red_parts(tmp_path / "wrong.gguf", base, adapter)
