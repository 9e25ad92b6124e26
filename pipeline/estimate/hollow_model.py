"""Builds a model from its configuration alone: the class, the layers and the quantization of a run, without weights."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.quantizers import AutoHfQuantizer, HfQuantizer

from pipeline.config import ModelConfig
from pipeline.providers import Task
from pipeline.providers.huggingface import MODEL_CLASSES
from pipeline.providers.quantization import prepare_for_training, quantization_config


def hollow_model(
    config: ModelConfig,
    model_config: PreTrainedConfig,
    *,
    task: Task,
    weight_dtype: torch.dtype,
    device: torch.device,
    filling: Callable[[str], None] = lambda name: None,
) -> PreTrainedModel:
    """The model that the provider huggingface would load, to be called inside `hollow`.

    `config.attention` is what the run would use; `model_config` may have fewer layers than the model. `filling` takes
    the name of the module that gets its memory next.
    """
    with _disable_current_modes():
        model, quantizer = _skeleton(config, copy.deepcopy(model_config), task, weight_dtype, device)
    _fill(model, device, weight_dtype, filling)
    if quantizer is not None:
        quantizer.postprocess_model(model)
        prepare_for_training(model)
    return model


def _skeleton(
    config: ModelConfig, model_config: PreTrainedConfig, task: Task, weight_dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, HfQuantizer | None]:
    attention = {} if config.attention == "auto" else {"attn_implementation": config.attention}
    if task == "seq_cls":
        # A score is one number.
        model_config.num_labels = 1
    with torch.device("meta"):
        model = MODEL_CLASSES[task].from_config(model_config, dtype=weight_dtype, **attention)
    if config.quantization == "none":
        return model, None
    quantization = quantization_config(
        config.quantization, MODEL_CLASSES[task], model_config, compute_dtype=weight_dtype
    )
    quantizer = AutoHfQuantizer.from_config(quantization)
    quantizer.preprocess_model(model, device_map={"": device})
    model.config.quantization_config = quantization
    model.hf_quantizer = quantizer
    return model, quantizer


def _fill(
    model: PreTrainedModel, device: torch.device, weight_dtype: torch.dtype, filling: Callable[[str], None]
) -> None:
    """Give every part of the model its memory on the device; tied weights stay tied."""
    made: dict[int, torch.nn.Parameter] = {}
    for path, module in model.named_modules():
        filling(path)
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) not in made:
                made[id(weight)] = _hollow_weight(module, weight, device, weight_dtype)
            module._parameters[name] = made[id(weight)]
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty_like(buffer, device=device)


def _hollow_weight(
    module: torch.nn.Module, weight: torch.nn.Parameter, device: torch.device, weight_dtype: torch.dtype
) -> torch.nn.Parameter:
    kind = type(weight).__name__
    if kind not in ("Params4bit", "Int8Params"):
        return torch.nn.Parameter(torch.empty_like(weight, device=device), requires_grad=weight.requires_grad)
    values = torch.empty(module.out_features, module.in_features, dtype=weight_dtype, device=device)
    return _in_4_bits(module, weight, values) if kind == "Params4bit" else _in_8_bits(module, values)


def _in_4_bits(module: Any, weight: Any, values: torch.Tensor) -> torch.nn.Parameter:
    # bitsandbytes' own class of weights cannot hold a hollow tensor; its layer asks for these attributes only.
    from bitsandbytes.functional import create_dynamic_map, name2qmap, quantize_4bit

    with _disable_current_modes():
        # It would keep a hollow one for good.
        name2qmap.setdefault("dynamic", create_dynamic_map())
    packed, state = quantize_4bit(
        values,
        blocksize=weight.blocksize,
        compress_statistics=weight.compress_statistics,
        quant_type=weight.quant_type,
        quant_storage=weight.quant_storage,
    )
    held = torch.nn.Parameter(packed, requires_grad=False)
    held.quant_state = module.quant_state = state
    held.blocksize, held.compress_statistics = weight.blocksize, weight.compress_statistics
    held.quant_type, held.quant_storage = weight.quant_type, weight.quant_storage
    # A move to another device or format loses what hangs on a hollow weight.
    module.register_forward_pre_hook(lambda layer, _: setattr(layer.weight, "quant_state", layer.quant_state))
    return held


def _in_8_bits(module: Any, values: torch.Tensor) -> torch.nn.Parameter:
    held = torch.nn.Parameter(torch.empty_like(values, dtype=torch.int8), requires_grad=False)
    lengths = torch.empty(values.shape[0], dtype=torch.float32, device=values.device)

    def attach(layer: Any, _: Any) -> None:
        # The layer takes them over in its first pass.
        taken = layer.state.CB is not None
        layer.weight.CB, layer.weight.SCB = (None, None) if taken else (layer.weight.data, lengths)
        layer.weight.has_fp16_weights = False

    module.register_forward_pre_hook(attach)
    return held
