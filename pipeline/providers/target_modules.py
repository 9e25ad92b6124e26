"""Which weights are trained: the language model's layers, never its lookup tables, its head, or its eyes and ears.

Layers are found by what they are and where they stand in the model, not by a list of architectures.
"""

import re
from collections.abc import Iterable, Iterator

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.errors import InvalidConfig, Problem

ALL_LINEAR = "all-linear"
# Conv1D is GPT-2's way of writing a linear layer; quantized layers are subclasses of Linear.
LINEAR_LAYERS = (torch.nn.Linear, Conv1D)
# Narrower ones mix a handful of coefficients. Gemma 3n reads the weights of its own without calling the layer, so an
# adapter on them would do nothing.
FEWEST_FEATURES = 8


def target_modules(model: PreTrainedModel, wanted: str) -> str | list[str]:
    """The language model's layers that `wanted` asks for, in PEFT's words: ends of names, or a regular expression.

    `wanted` is `all-linear`, or names or ends of names (`q_proj`, `layers.0.mlp.up_proj`) separated by commas.

    Raises:
        InvalidConfig: a named layer does not exist.
    """
    prefix = language_model_name(model)
    decoder = model.get_submodule(prefix)
    linear = set(_linear_layers(model, decoder))
    others = {name for name, _ in decoder.named_modules()} - linear
    chosen = linear if wanted == ALL_LINEAR else _named(wanted, linear, others)
    endings = _shortest_endings(chosen, others | (linear - chosen))
    elsewhere = {name for name, _ in model.named_modules() if not _is_below(name, prefix)}
    if not any(_ends_with(name, ending) for ending in endings for name in elsewhere):
        return endings
    # So that layers of the same names in a vision or audio tower stay as they are.
    return rf"{re.escape(prefix)}\.(.*\.)?({'|'.join(map(re.escape, endings))})"


def language_model_name(model: PreTrainedModel) -> str:
    """The name of the decoder within the model; empty where the model is nothing else."""
    decoder = model.get_decoder()
    return next(name for name, module in model.named_modules() if module is decoder)


def linear_layer_names(model: PreTrainedModel) -> list[str]:
    """Full names of the language model's linear layers, the output head aside."""
    prefix = language_model_name(model)
    return [f"{prefix}.{name}" if prefix else name for name in _linear_layers(model, model.get_submodule(prefix))]


def embedding_names(model: PreTrainedModel) -> list[str]:
    """Full names of the matrix of token embeddings and, where there is one, of the output head."""
    ours = [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]
    return [next(name for name, module in model.named_modules() if module is one) for one in ours]


def train_language_model(model: PreTrainedModel, *, embeddings: bool) -> None:
    """Make the language model's weights trainable, and a head that scores texts.

    Lookup tables stay frozen; with `embeddings`, the one of the tokens and the output head are trained too.
    """
    model.requires_grad_(False)
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    decoder.requires_grad_(True)
    for module in decoder.modules():
        if isinstance(module, torch.nn.Embedding):
            module.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(embeddings)
    if head is not None:
        head.requires_grad_(embeddings)
        return
    for module in score_heads(model):
        module.requires_grad_(True)


def score_heads(model: PreTrainedModel) -> list[torch.nn.Module]:
    """What a model without an output head has beside the network that its base class loads."""
    base = {id(module) for module in model.base_model.modules()}
    return [module for module in model.children() if id(module) not in base]


def _linear_layers(model: PreTrainedModel, decoder: torch.nn.Module) -> Iterator[str]:
    """Names within the decoder of its linear layers, the output head aside."""
    head = model.get_output_embeddings()
    for name, module in decoder.named_modules():
        if isinstance(module, LINEAR_LAYERS) and module is not head and _width(module) >= FEWEST_FEATURES:
            yield name


def _width(module: torch.nn.Module) -> int:
    """The smaller of a linear layer's numbers of inputs and outputs; a quantized weight has another shape."""
    return min(module.weight.shape) if isinstance(module, Conv1D) else min(module.in_features, module.out_features)


def _named(wanted: str, linear: set[str], others: set[str]) -> set[str]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if not any(_ends_with(layer, name) for layer in linear)]
    if unknown or not names:
        raise InvalidConfig([_unknown_layers(unknown, known=_shortest_endings(linear, others))])
    return {layer for layer in linear if any(_ends_with(layer, name) for name in names)}


def _shortest_endings(chosen: set[str], others: set[str]) -> list[str]:
    """As few and short ends of names as tell the chosen ones from the others."""
    taken = {ending for name in others for ending in _endings(name)}
    return sorted({next(ending for ending in _endings(name) if ending not in taken) for name in chosen})


def _endings(name: str) -> Iterator[str]:
    """The last part of a dotted name, the last two, and so on."""
    parts = name.split(".")
    return (".".join(parts[first:]) for first in range(len(parts) - 1, -1, -1))


def _ends_with(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _is_below(name: str, prefix: str) -> bool:
    return not prefix or name.startswith(f"{prefix}.")


def _unknown_layers(unknown: Iterable[str], *, known: Iterable[str]) -> Problem:
    names = ", ".join(unknown)
    seen = f"no layer is called {names}" if names else "no layer is named"
    return Problem("tuning.target_modules", f"{seen} in this model. Use {ALL_LINEAR}, or some of: {', '.join(known)}.")
