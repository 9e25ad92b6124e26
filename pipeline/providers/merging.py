"""Merges a trained adapter into whole weights."""

import copy
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.config import ModelConfig
from pipeline.errors import TrainingDiverged
from pipeline.providers.model_source import fetch_model
from pipeline.providers.quantization import quantized_bits
from pipeline.providers.target_modules import embedding_names


def merged_model(model: PeftModel, config: ModelConfig, *, dtype: torch.dtype) -> PreTrainedModel:
    """The base model in `dtype` with the adapter in its weights; `model` is unusable afterwards.

    A quantized base is read again in `dtype`, on the CPU: the sum of its rounded weights and the adapter would be
    rounded once more, or would keep the rounding for good.

    Raises:
        ModelUnavailable: the base model is no longer where it was.
        TrainingDiverged: the adapter holds values that are no numbers.
    """
    broken = [name for name, weight in _trained(model) if not torch.isfinite(weight).all()]
    if broken:
        raise TrainingDiverged(
            f"{broken[0]} holds values that are no numbers. Lower the learning rate and train again."
        )
    if quantized_bits(model.get_base_model()) is not None:
        model = _on_whole_base(model, config, dtype=dtype)
    # Not PEFT's safe merge, which holds every weight twice to look for what was looked for above.
    return model.merge_and_unload().to(dtype)


def save_merged(model: PeftModel, folder: Path, *, config: ModelConfig, dtype: torch.dtype) -> None:
    """Write the base model with the adapter merged into it as safetensors. The model is unusable afterwards."""
    merged_model(model, config, dtype=dtype).save_pretrained(folder)


def _on_whole_base(model: PeftModel, config: ModelConfig, *, dtype: torch.dtype) -> PeftModel:
    quantized = model.get_base_model()
    whole_config = copy.deepcopy(quantized.config)
    del whole_config.quantization_config
    base = type(quantized).from_pretrained(fetch_model(config), config=whole_config, dtype=dtype)
    adapter = copy.deepcopy(model.peft_config["default"])
    # Quantized layers are laid out alike; GPT-2's own are not.
    adapter.fan_in_fan_out = any(isinstance(module, Conv1D) for module in base.get_decoder().modules())
    if adapter.ensure_weight_tying:
        # PEFT has struck the head from the list, and needs it to tie another model.
        adapter.modules_to_save = embedding_names(base)
    moved = get_peft_model(base, adapter)
    set_peft_model_state_dict(moved, get_peft_model_state_dict(model, save_embedding_layers=False))
    return moved


def _trained(model: PeftModel) -> list[tuple[str, torch.Tensor]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
