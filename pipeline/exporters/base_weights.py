"""Where each weight of a base model lies in its files, and what the model calls it."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from pipeline.errors import ModelUnavailable
from pipeline.exporters.adapter_weights import NotStreamable
from pipeline.exporters.tensor_file import DTYPES, TensorLayout

INDEX_FILE, SINGLE_FILE = "model.safetensors.index.json", "model.safetensors"
_CLASSES: tuple[Any, ...] = (AutoModelForCausalLM, AutoModelForImageTextToText)


@dataclass(frozen=True)
class StoredWeight:
    """One weight of the files: its name there, and in the model."""

    file: Path
    name: str
    parameter: str
    layout: TensorLayout


@dataclass(frozen=True)
class BaseWeights:
    """All weights of the files in their order, which of the model's names stand for the weight of another, and the
    weights that have the shape (inputs, outputs)."""

    weights: Sequence[StoredWeight]
    tied: Mapping[str, str]
    transposed: frozenset[str]


def read_base(folder: Path, *, trust_remote_code: bool, wanted: Collection[str]) -> BaseWeights:
    """The weights of the model in `folder`, as the class of models names them that has all the `wanted` ones.

    Raises:
        ModelUnavailable: the files are damaged, or no class has the wanted weights.
        NotStreamable: there are no safetensors, the weights are quantized, or the model is built from others than the
            wanted ones as they lie in the files.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    if getattr(config, "quantization_config", None) is not None:
        raise NotStreamable("the base model's files are quantized")
    stored = _stored(folder)
    for model_class in _CLASSES:
        if type(config) not in model_class._model_mapping and not trust_remote_code:
            continue
        with torch.device("meta"):
            model = model_class.from_config(config, trust_remote_code=trust_remote_code)
        if set(wanted) <= model.state_dict().keys():
            return _named(model, stored, wanted)
    missing = sorted(wanted)[0] if wanted else "a head"
    raise ModelUnavailable(f"The adapter does not belong to the model in {folder}: it changes {missing} and others.")


def _stored(folder: Path) -> list[tuple[Path, str, TensorLayout]]:
    index = folder / INDEX_FILE
    if index.exists():
        files = sorted({folder / file for file in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    else:
        files = [folder / SINGLE_FILE]
    if not all(file.exists() for file in files):
        raise NotStreamable("the base model has no safetensors files")
    found = []
    with ExitStack() as stack:
        for file in files:
            try:
                opened = stack.enter_context(safe_open(file, framework="pt"))
            except SafetensorError as error:
                raise ModelUnavailable(f"{file} is damaged: {error}. Fetch the base model again.") from error
            for name in opened.offset_keys():
                part = opened.get_slice(name)
                if part.get_dtype() not in DTYPES:
                    raise NotStreamable(f"{name} has the number format {part.get_dtype()}")
                found.append((file, name, TensorLayout(DTYPES[part.get_dtype()], tuple(part.get_shape()))))
    return found


def _named(
    model: PreTrainedModel, stored: Sequence[tuple[Path, str, TensorLayout]], wanted: Collection[str]
) -> BaseWeights:
    transforms = get_model_conversion_mapping(model)
    renamings = [item for item in transforms if isinstance(item, WeightRenaming)]
    converters = [item for item in transforms if isinstance(item, WeightConverter)]
    known = model.state_dict()
    weights = []
    for file, name, layout in stored:
        parameter, converted = rename_source_key(name, renamings, converters, model.base_model_prefix, known)
        if converted is not None and parameter in wanted:
            raise NotStreamable(f"{parameter} is made of several weights of the files")
        weights.append(StoredWeight(file, name, parameter, layout))
    transposed = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D)}
    return BaseWeights(weights, dict(model.all_tied_weights_keys), frozenset(transposed))
