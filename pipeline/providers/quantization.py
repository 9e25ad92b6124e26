"""Keeps the frozen weights of the language model in 4 or 8 bits with bitsandbytes (QLoRA, arXiv:2305.14314)."""

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel

from pipeline.errors import InvalidConfig, Problem
from pipeline.providers.target_modules import LINEAR_LAYERS, linear_layer_names

Bits = Literal["4bit", "8bit"]


def quantization_config(
    bits: Bits, model_class: Any, model_config: PreTrainedConfig, *, compute_dtype: torch.dtype
) -> BitsAndBytesConfig:
    """How transformers quantizes the model while it loads: the linear layers of its language model and nothing else."""
    # Says at every product that it computes in another format than the inputs have.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    with torch.device("meta"):
        skeleton = model_class.from_config(copy.deepcopy(model_config))
    return BitsAndBytesConfig(
        load_in_4bit=bits == "4bit",
        load_in_8bit=bits == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=list(_whole_parts(skeleton)),
    )


def numbered(device: torch.device) -> torch.device:
    """The device with its index, where it is no CPU.

    Without one, accelerate takes the device of a quantized model for another than the one that it trains on.
    """
    return device if device.type == "cpu" else torch.device(device.type, torch.accelerator.current_device_index())


def prepare_for_training(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from rearranging 4-bit weights for inference: gradients computed after that would be wrong.

    It does so on CPUs with AVX512-BF16 in the first forward pass of an evaluation. Nothing is widened to fp32: only
    what is trained needs that, and it is no part of the model yet.
    """
    for module in model.modules():
        if "support_avx512bf16_for_cpu" in vars(module):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def trained_weights_kept(model: torch.nn.Module) -> Iterator[None]:
    """Undo what the body does to the format of the trained weights: TRL's trainers narrow those beside quantized ones
    to bf16, in which small updates vanish."""
    kept = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, values in kept:
        weight.data = values


def require_variant(model: PreTrainedModel, variant: str) -> None:
    """Raise InvalidConfig where the adapter's kind and the quantized weights do not go together."""
    if variant == "dora" and model.device.type == "cpu" and quantized_bits(model) == "8bit":
        raise InvalidConfig(
            [Problem("tuning.variant", "dora cannot read the lengths of 8-bit weights on a CPU. Use 4bit, or lora.")]
        )


def quantized_bits(model: PreTrainedModel) -> Bits | None:
    """The size of the model's quantized weights; None where they are whole."""
    quantization = model.config.to_dict().get("quantization_config")
    if quantization is None:
        return None
    return "4bit" if quantization["load_in_4bit"] else "8bit"


def weights_in(parameter: torch.nn.Parameter) -> int:
    """How many weights a parameter stands for; 4-bit ones are kept two in a byte."""
    state = vars(parameter).get("quant_state")
    return parameter.numel() if state is None else math.prod(state.shape)


def _whole_parts(model: PreTrainedModel) -> Iterator[str]:
    """Names of the largest parts without a layer to quantize: towers, projectors, heads, and single narrow layers."""
    quantized = set(linear_layer_names(model))

    def below(module: torch.nn.Module, name: str) -> Iterator[str]:
        for child_name, child in module.named_children():
            full = f"{name}.{child_name}" if name else child_name
            if full in quantized:
                continue
            if any(layer.startswith(f"{full}.") for layer in quantized):
                yield from below(child, full)
            elif any(isinstance(part, LINEAR_LAYERS) for part in child.modules()):
                yield full

    yield from below(model, "")
