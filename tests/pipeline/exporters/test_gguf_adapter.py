"""Adapters as GGUF files: on the base model's file, llama.cpp says what PEFT says; what it cannot say is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from pipeline.errors import ModelUnavailable
from pipeline.exporters.gguf import lora_adapter
from pipeline.exporters.gguf.convert import GgufFailed, convert
from pipeline.exporters.gguf.lora_adapter import AdapterNotConvertible, convert_adapter
from pipeline.exporters.gguf.modelfile import adapter_modelfile
from pipeline.exporters.gguf.runtime import served
from pipeline.exporters.parity import ParityReport, ask, compare
from pipeline.exporters.trained_model import TrainedModel
from tests.pipeline.exporters.families import build_family, train_adapter

_TIED = {"ensure_weight_tying": True}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_family("gemma3", tmp_path_factory.mktemp("family") / "base")


@pytest.fixture(scope="module")
def whole(base: Path) -> Path:
    """The base model as a GGUF file."""
    file = base.parent / "base.gguf"
    convert(base, file, dtype="bf16")
    return file


def compared(whole: Path, file: Path, base: Path, adapter: Path) -> ParityReport:
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    expected = ask(TrainedModel.read(base, adapter=adapter), vocabulary=vocabulary)
    with served(whole, adapter=file) as model:
        return compare(ask(model, vocabulary=vocabulary), expected, number_format="bf16")


def untrained(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter with random weights, of whatever kind."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), PeftLora(task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) / 30
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def test_adapter_says_on_the_base_what_it_said(base: Path, whole: Path, tmp_path: Path) -> None:
    adapter = train_adapter(base, tmp_path / "adapter")
    convert_adapter(adapter, base, tmp_path / "adapter.gguf", dtype="f16")
    report = compared(whole, tmp_path / "adapter.gguf", base, adapter)
    assert report.passed, report
    # Without the adapter, the base says something else.
    vocabulary = AutoConfig.from_pretrained(base).get_text_config().vocab_size
    with served(whole) as model:
        alone = ask(model, vocabulary=vocabulary)
    trained = ask(TrainedModel.read(base, adapter=adapter), vocabulary=vocabulary)
    assert not compare(alone, trained, number_format="bf16").passed
    assert {file.name for file in tmp_path.iterdir()} == {"adapter", "adapter.gguf"}


def test_rank_stabilised_adapter_has_its_own_scale(
    base: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = train_adapter(base, tmp_path / "adapter", variant="rslora", alpha=8)
    convert_adapter(adapter, base, tmp_path / "adapter.gguf", dtype="f32")
    report = compared(whole, tmp_path / "adapter.gguf", base, adapter)
    assert report.passed, report
    # As it is in the configuration.
    monkeypatch.setattr(lora_adapter, "_alpha", lambda change: 8.0)
    convert_adapter(adapter, base, tmp_path / "broken.gguf", dtype="f32")
    report = compared(whole, tmp_path / "broken.gguf", base, adapter)
    assert [check.name for check in report.checks if not check.passed][0] == "log_probabilities"


@pytest.mark.parametrize("use_rslora", [False, True])
def test_layers_of_other_ranks_have_their_own_scales(base: Path, whole: Path, use_rslora: bool, tmp_path: Path) -> None:
    adapter = untrained(
        base,
        tmp_path / "adapter",
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "o_proj", "down_proj"],
        rank_pattern={"q_proj": 16, "layers.2.mlp.down_proj": 2},
        alpha_pattern={"o_proj": 24},
        use_rslora=use_rslora,
    )
    convert_adapter(adapter, base, tmp_path / "adapter.gguf", dtype="f32")
    report = compared(whole, tmp_path / "adapter.gguf", base, adapter)
    assert report.passed, report


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"target_modules": ["q_proj"], "use_dora": True}, "it is DoRA"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], **_TIED}, "trained layers as a whole"),
        ({"target_modules": ["q_proj"], "trainable_token_indices": [4, 5]}, "embeddings of some tokens"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, "trained biases"),
        ({"target_modules": ["embed_tokens"], **_TIED}, "none of the usual weights"),
        ({"target_modules": ["q_proj", "lm_head"]}, "which is the embedding"),
    ],
)
# PEFT warns that it could not merge some of them.
@pytest.mark.filterwarnings("ignore::peft.utils.warning.PeftWarning", "ignore:.*tie.*")
def test_what_a_file_has_no_place_for_is_refused(
    base: Path, settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    adapter = untrained(base, tmp_path / "adapter", r=4, **settings)
    with pytest.raises(AdapterNotConvertible, match=f"{reason}.*Export merged or gguf instead"):
        convert_adapter(adapter, base, tmp_path / "adapter.gguf", dtype="f16")
    assert [file.name for file in tmp_path.iterdir()] == ["adapter"]


def test_embeddings_that_only_the_weights_tell_of_are_refused(base: Path, tmp_path: Path) -> None:
    trained = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], **_TIED}
    adapter = untrained(base, tmp_path / "adapter", r=4, **trained)
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "modules_to_save": None}), encoding="utf-8")
    assert any("embed_tokens" in name for name in load_file(adapter / "adapter_model.safetensors"))
    with pytest.raises(AdapterNotConvertible, match=r"it has trained (lm_head|model\.embed_tokens)\.weight as a whole"):
        convert_adapter(adapter, base, tmp_path / "adapter.gguf", dtype="f16")


def test_folder_without_an_adapter_is_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="holds no adapter"):
        convert_adapter(tmp_path, base, tmp_path / "adapter.gguf", dtype="f16")


def test_adapter_of_another_model_is_not_loaded(base: Path, whole: Path, tmp_path: Path) -> None:
    other = build_family("llama", tmp_path / "other")
    adapter = train_adapter(other, tmp_path / "adapter")
    convert_adapter(adapter, other, tmp_path / "adapter.gguf", dtype="f16")
    with pytest.raises(GgufFailed, match="could not load"), served(whole, adapter=tmp_path / "adapter.gguf"):
        pass


def test_base_takes_the_template_of_the_adapter(base: Path, tmp_path: Path) -> None:
    template = tmp_path / "chat_template.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}!{% endfor %}", encoding="utf-8")
    again = shutil.copytree(base, tmp_path / "again")
    settings = again / "tokenizer_config.json"
    stated = json.loads(settings.read_text("utf-8"))
    settings.write_text(json.dumps({**stated, "chat_template": "{{ messages }}"}), encoding="utf-8")
    convert(again, tmp_path / "base.gguf", dtype="bf16", template=template)
    with served(tmp_path / "base.gguf") as model:
        asked = model.prompt_ids([{"role": "user", "content": "Hello"}])
        assert asked == model.token_ids("Hello!", add_special=True)
    assert "chat_template" in json.loads(settings.read_text("utf-8"))


def test_modelfile_puts_the_adapter_on_the_base(base: Path) -> None:
    written = adapter_modelfile(base, "base.gguf", "stones.gguf")
    assert written.startswith("FROM ./base.gguf\nADAPTER ./stones.gguf\nTEMPLATE")
    assert 'PARAMETER stop "<end_of_turn>"\n' in written
