"""Makes a GGUF adapter of a LoRA adapter's folder, for llama.cpp and Ollama to put on a GGUF file of the base model."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file

from pipeline.errors import UserError
from pipeline.exporters.adapter_weights import WEIGHTS_FILE, LoraChange, NotStreamable, read_adapter
from pipeline.exporters.gguf.convert import run_converter, stage_model
from pipeline.exporters.source import ADAPTER_CONFIG

ADAPTER_CONVERTER = "convert_lora_to_gguf.py"
AdapterType = Literal["bf16", "f16", "f32"]
# Of the configuration of LoRA: what a GGUF adapter has no place for, or llama.cpp would compute otherwise.
_REFUSED: Mapping[str, str] = {
    "use_dora": "it is DoRA, which also changes the lengths of the base model's weights",
    "modules_to_save": "it has trained layers as a whole, as embeddings",
    "trainable_token_indices": "it has trained the embeddings of some tokens",
    "lora_bias": "it has trained biases",
    "alora_invocation_tokens": "it acts only after certain words",
    "layer_replication": "it repeats layers of the base model",
    "target_parameters": "it changes weights that are no linear layers",
    **dict.fromkeys(("use_bdlora", "use_qalora", "arrow_config", "kasa_config"), "it is a variant of LoRA"),
    "fan_in_fan_out": "it changes layers that keep their weights transposed",
}
# Layers of Gemma 3n and 4 on which no adapter acts there (conversion/gemma.py, src/models/gemma4.cpp).
_LEFT_ALONE = {
    "altup_projections": "keeps as one with others",
    "altup_unembed_projections": "keeps as one with others",
    "per_layer_model_projection": "multiplies without adapters",
}
_WAY_OUT = "Export merged or gguf instead, which have it in the model's weights."


class AdapterNotConvertible(UserError):
    """A GGUF adapter cannot say what the adapter has learned; the text has the reason and the way out."""

    code = "adapter_not_convertible"


def convert_adapter(adapter: Path, base: Path, target: Path, *, dtype: AdapterType) -> None:
    """Write the PEFT adapter in the folder `adapter`, of the model in the folder `base`, as one GGUF file.

    Raises:
        AdapterNotConvertible: it is more than LoRA or rsLoRA on linear layers of the language model.
        ModelUnavailable: it cannot be read.
        TrainingDiverged: it holds values that are no numbers.
        GgufNotInstalled: there is no converter.
        GgufFailed: the converter does not know the base model, or cannot write.
    """
    changes = _changes(adapter)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".stage-") as folder:
        model, stage = Path(folder) / "base", Path(folder) / "adapter"
        model.mkdir()
        stage.mkdir()
        config = stage_model(base, model)
        _refuse_tied_head(changes, config)
        _stage_adapter(changes, stage)
        written = Path(folder) / target.name
        arguments = [str(stage), "--base", str(model), "--outtype", dtype, "--outfile", str(written)]
        run_converter(ADAPTER_CONVERTER, arguments)
        missing = len(changes) - _layers(written)
        if missing:
            raise _refusal(f"it changes {missing} layers that llama.cpp keeps elsewhere, as those that see images")
        written.replace(target)


def _changes(adapter: Path) -> Mapping[str, LoraChange]:
    file = adapter / ADAPTER_CONFIG
    config: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    reason = next((told for name, told in _REFUSED.items() if config.get(name)), None)
    if reason is not None:
        raise _refusal(reason)
    try:
        found = read_adapter(adapter)
    except NotStreamable as error:
        raise _refusal(str(error)) from error
    for part, reason in _LEFT_ALONE.items():
        changed = next((name for name in found.changes if part in name), None)
        if changed is not None:
            raise _refusal(f"it changes {changed}, which llama.cpp {reason}")
    if found.replaced:
        raise _refusal(f"it has trained {min(found.replaced)} as a whole")
    if not found.changes:
        raise _refusal("it changes no layer")
    return found.changes


def _refuse_tied_head(changes: Mapping[str, LoraChange], config: Mapping[str, Any]) -> None:
    text = config.get("text_config", config)
    # Gemma's configurations leave out what is their default.
    is_tied = text.get(
        "tie_word_embeddings", config.get("tie_word_embeddings", config["model_type"].startswith("gemma"))
    )
    head = next((name for name in changes if name.endswith("lm_head.weight")), None)
    if head is not None and is_tied:
        raise _refusal(f"it changes {head}, which is the embedding in the base model")


def _stage_adapter(changes: Mapping[str, LoraChange], stage: Path) -> None:
    alpha = max(map(_alpha, changes.values()))
    weights = {}
    for name, change in changes.items():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        weights[f"{layer}.lora_A.weight"] = change.down
        # There is one alpha in the file; what a layer has of its own goes into its weights.
        share = _alpha(change) / alpha
        weights[f"{layer}.lora_B.weight"] = change.up if share == 1.0 else change.up * share
    save_file(weights, stage / WEIGHTS_FILE)
    (stage / ADAPTER_CONFIG).write_text(json.dumps({"peft_type": "LORA", "lora_alpha": alpha}), encoding="utf-8")


def _alpha(change: LoraChange) -> float:
    """The alpha with which llama.cpp, which divides by the rank (src/llama-adapter.h), has the scale of the layer."""
    return change.scale * len(change.down)


def _layers(file: Path) -> int:
    from gguf import GGUFReader  # type: ignore[import-not-found,import-untyped]

    return sum(tensor.name.endswith(".lora_a") for tensor in GGUFReader(file).tensors)


def _refusal(reason: str) -> AdapterNotConvertible:
    return AdapterNotConvertible(f"The adapter cannot be a GGUF adapter: {reason}. {_WAY_OUT}")
