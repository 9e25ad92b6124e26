"""ModelManager: what is trainable, what is chosen by itself, and what it says when a model cannot be loaded."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from pipeline.config import ModelConfig
from pipeline.errors import InvalidConfig, ModelUnavailable
from pipeline.events import ModelLoaded, StageStarted
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import LoadedModel, ModelManager, choose_attention, choose_precision
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import build_tiny_multimodal

CPU = torch.device("cpu")


def trainable(loaded: LoadedModel) -> list[str]:
    return [name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad]


def test_lora_trains_the_adapter_of_every_linear_layer(make_config: MakeConfig, tracker: JobTracker) -> None:
    loaded = ModelManager(make_config(), tracker).load()
    assert isinstance(loaded.model, PeftModel)
    names = trainable(loaded)
    assert len(names) == 2 * 7 * 2
    assert all("lora_" in name for name in names)
    assert not any("lm_head" in name or "embed" in name for name in names)


def test_lora_on_named_layers(make_config: MakeConfig, tracker: JobTracker) -> None:
    loaded = ModelManager(make_config(tuning={"target_modules": "q_proj, v_proj"}), tracker).load()
    assert len(trainable(loaded)) == 2 * 2 * 2


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_vision_tower_of_a_multimodal_model_stays_frozen(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, kind: str
) -> None:
    config = make_config(model={"base_model": str(build_tiny_multimodal(tmp_path))}, tuning={"kind": kind})
    names = trainable(ModelManager(config, tracker).load())
    assert len(names) > 20
    assert all("language_model" in name for name in names)


def test_unknown_layer_is_named_with_the_known_ones(make_config: MakeConfig, tracker: JobTracker) -> None:
    with pytest.raises(InvalidConfig, match=r"tuning.target_modules: no layer is called c_attn.*down_proj"):
        ModelManager(make_config(tuning={"target_modules": "q_proj,c_attn"}), tracker).load()


def test_full_freezes_embeddings_unless_asked(make_config: MakeConfig, tracker: JobTracker) -> None:
    frozen = trainable(ModelManager(make_config(tuning={"kind": "full"}), tracker).load())
    both = trainable(ModelManager(make_config(tuning={"kind": "full", "train_embeddings": True}), tracker).load())
    assert set(both) - set(frozen) == {"model.embed_tokens.weight"}


def test_trained_weights_are_fp32_and_frozen_ones_narrow(make_config: MakeConfig, tracker: JobTracker) -> None:
    loaded = ModelManager(make_config(model={"precision": "bf16"}), tracker).load()
    dtypes = {parameter.requires_grad: parameter.dtype for parameter in loaded.model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    full = ModelManager(make_config(model={"precision": "bf16"}, tuning={"kind": "full"}), tracker).load()
    assert {parameter.dtype for parameter in full.model.parameters()} == {torch.float32}


def test_seed_fixes_the_adapter(make_config: MakeConfig, tracker: JobTracker) -> None:
    def first_matrix(seed: int) -> torch.Tensor:
        loaded = ModelManager(make_config(training={"seed": seed}), tracker).load()
        return next(parameter for parameter in loaded.model.parameters() if parameter.requires_grad)

    assert torch.equal(first_matrix(1), first_matrix(1))
    assert not torch.equal(first_matrix(1), first_matrix(2))


def test_events_follow_the_progress_contract(make_config: MakeConfig, tracker: JobTracker) -> None:
    ModelManager(make_config(), tracker).load()
    events, _ = tracker.run_dir.read_events()
    assert [event.progress for event in events if isinstance(event, StageStarted)] == [0.1, 0.2]
    loaded = events[-1]
    assert isinstance(loaded, ModelLoaded)
    assert (loaded.device, loaded.precision, loaded.attention) == ("cpu", "fp32", "sdpa")
    assert 0 < loaded.trainable_parameters < loaded.parameters


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(InvalidConfig, match=r"model.precision: fp16 needs a GPU"):
        choose_precision("fp16", device=CPU)


def test_flash_attention_needs_a_gpu_or_the_package() -> None:
    config = ModelConfig(base_model="x", attention="flash_attention_2")
    with pytest.raises(InvalidConfig, match=r"model.attention: FlashAttention 2 .*Use auto or sdpa"):
        choose_attention(config, device=CPU, precision="bf16")


def test_eager_attention_is_used_when_asked_for(make_config: MakeConfig, tracker: JobTracker) -> None:
    assert ModelManager(make_config(model={"attention": "eager"}), tracker).load().attention == "eager"


def unavailable(make_config: MakeConfig, tracker: JobTracker, base_model: str) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        ModelManager(make_config(model={"base_model": base_model}), tracker).load()
    return str(caught.value)


def test_missing_folder(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    assert "There is no folder at" in unavailable(make_config, tracker, str(tmp_path / "nothing"))


def test_folder_without_a_model(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    assert "has no config.json" in unavailable(make_config, tracker, str(tmp_path))


def test_folder_with_an_adapter(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds an adapter, not a whole model" in unavailable(make_config, tracker, str(tmp_path))


def test_remote_code_is_refused_with_its_switch(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = {
        "model_type": "home-made",
        "auto_map": {"AutoConfig": "home.Config", "AutoModelForCausalLM": "home.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "turn model.trust_remote_code on" in unavailable(make_config, tracker, str(tmp_path))


def test_unknown_architecture(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "home-made"}')
    assert "cannot be loaded" in unavailable(make_config, tracker, str(tmp_path))


def test_damaged_weights(make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path) -> None:
    for file in tiny_gemma.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[:1000] if file.suffix == ".safetensors" else content)
    assert "cannot be loaded" in unavailable(make_config, tracker, str(tmp_path))
