"""Traces a deep model with few of its layers and extends the result, since a layer more adds the same each time."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from pipeline.estimate.ledger import Peak, Purpose
from pipeline.estimate.operations import Operation
from pipeline.estimate.step_trace import BATCH, StepTrace

# Settings by which layers of one model differ in ways that no list of the configuration tells.
_UNEVEN = (
    "first_k_dense_replace",
    "mlp_only_layers",
    "attn_layer_period",
    "expert_layer_period",
    "moe_layer_freq",
)  # Where a model has an embedding for each layer, one table holds those of all layers (Gemma 3n, Gemma 4).
_FOR_EACH_LAYER = "hidden_size_per_layer_input"

ShorterTrace = Callable[[PreTrainedConfig, Sequence[int]], StepTrace]
"""Takes the configuration of a model with few layers, and their numbers in the whole model."""


@dataclass(frozen=True)
class _Depths:
    """Layers to trace, and for each other layer those traced ones that are alike."""

    layers: tuple[int, ...]
    alike: Mapping[int, Sequence[int]]

    def like(self, layer: int, *, at: int | None = None) -> int:
        """A traced layer like `layer` that comes on the same side of the layer `at`, so that it is as far as that."""
        same = [other for other in self.alike[layer] if at is None or (other != at and (other < at) == (layer < at))]
        return (same or self.alike[layer])[0]


@dataclass(frozen=True)
class _Longer:
    """The trace of a model with one layer more, the times that there is such a layer more."""

    trace: StepTrace
    layer: int
    times: int


def trace_deep(model_config: PreTrainedConfig, trace: ShorterTrace, *, memory: bool = True) -> StepTrace:
    """`trace` of the whole model, from that of a model with few of its layers where all layers are of few kinds.

    The result is exact as far as a layer more of a kind adds what one in the middle does. Without `memory`, fewer
    layers tell what there is to compute.
    """
    text = model_config.get_text_config()
    depths = _depths(text, memory=memory)
    if depths is None:
        return trace(model_config, range(text.num_hidden_layers))
    short = trace(with_layers(model_config, depths.layers), depths.layers)
    longer = None
    if getattr(text, _FOR_EACH_LAYER, 0):
        layer = min(depths.alike)
        layers = tuple(sorted((*depths.layers, layer)))
        longer = _Longer(trace(with_layers(model_config, layers), layers), layer, len(depths.alike))
    return _extended_trace(short, depths, longer)


def with_layers(model_config: PreTrainedConfig, layers: Sequence[int]) -> PreTrainedConfig:
    """The configuration of a model that has only these layers of it."""
    shorter = copy.deepcopy(model_config)
    text = shorter.get_text_config()
    shared, own = _shared_from(text), _own_settings(text)
    text.per_layer_config = None
    for name, values in _layer_lists(text).items():
        setattr(text, name, [values[layer] for layer in layers])
    text.num_hidden_layers = len(layers)
    if shared is not None:
        text.num_kv_shared_layers = sum(layer >= shared for layer in layers)
    if own:
        text.per_layer_config = {place: own[layer] for place, layer in enumerate(layers) if layer in own}
    return shorter


def _depths(text: PreTrainedConfig, *, memory: bool) -> _Depths | None:
    count = text.num_hidden_layers
    if any(getattr(text, name, None) for name in _UNEVEN):
        return None
    kinds: dict[Any, list[int]] = {}
    for layer in range(count):
        kinds.setdefault(_kind_of(text, layer), []).append(layer)
    # Memory is highest at the first or the last of a kind; the very first has nothing to send gradients back to.
    traced, alike = {0}, {}
    for layers in kinds.values():
        rest = [layer for layer in layers if layer]
        mates = [rest[0], rest[-1]][: 2 if memory else 1] if rest else []
        traced.update(mates)
        alike.update({layer: mates for layer in rest if layer not in mates})
    return _Depths(tuple(sorted(traced)), alike) if alike else None


def _kind_of(text: PreTrainedConfig, layer: int) -> Any:
    """Layers of one kind are alike in all that costs memory."""
    shared, own, lists = _shared_from(text), _own_settings(text), _layer_lists(text)
    settings = tuple(str(values[layer]) for values in lists.values())
    return settings, str(own.get(layer)), shared is not None and layer >= shared


def _own_settings(text: PreTrainedConfig) -> dict[int, Any]:
    """Settings of single layers that are not those of the others."""
    return dict(text._heterogeneity_spec.per_layer_overrides) if text.is_heterogeneous else {}


def _layer_lists(text: PreTrainedConfig) -> dict[str, Sequence[Any]]:
    """The settings that have a value for each layer."""
    return {
        name: value
        for name, value in vars(text).items()
        if isinstance(value, (list, tuple)) and len(value) == text.num_hidden_layers
    }


def _shared_from(text: PreTrainedConfig) -> int | None:
    """The first layer that uses keys and values of an earlier one."""
    shared = getattr(text, "num_kv_shared_layers", None)
    return text.num_hidden_layers - shared if shared else None


def _extended_trace(short: StepTrace, depths: _Depths, longer: _Longer | None) -> StepTrace:
    trainable = _extended_count(short, depths, longer, "trainable_parameters")
    return StepTrace(
        peaks={part: _extended_peak(part, short, depths, longer) for part in short.peaks},
        operations={
            part: _extended_batch(short, depths, longer)
            if part == BATCH
            # What is done to all trained weights.
            else {item: count * trainable / short.trainable_parameters for item, count in counts.items()}
            for part, counts in short.operations.items()
        },
        batches=short.batches,
        parameters=_extended_count(short, depths, longer, "parameters"),
        trainable_parameters=trainable,
    )


def _extended_count(short: StepTrace, depths: _Depths, longer: _Longer | None, name: str) -> int:
    def share(layer: int) -> int:
        return int(getattr(short.layers[depths.like(layer)], name))

    count: int = getattr(short, name)
    outside = 0 if longer is None else (getattr(longer.trace, name) - count - share(longer.layer)) * longer.times
    return count + sum(map(share, depths.alike)) + outside


def _extended_peak(part: str, short: StepTrace, depths: _Depths, longer: _Longer | None) -> Peak:
    peak = short.peaks[part]
    name, _, number = part.partition(" ")
    at = int(number) if name in ("forward", "backward") else None
    by_purpose = Counter(peak.by_purpose)

    def share(layer: int) -> Mapping[Purpose, int]:
        held = dict(peak.by_layer.get(depths.like(layer, at=at), {}))
        if name == "backward" and at is not None and layer > at:
            # Its backward pass is over; what is left at the very end of the model is that of no other layer.
            held.pop("activations", None)
        return held

    for layer in depths.alike:
        by_purpose.update(share(layer))
    if longer is not None:
        outside = Counter(longer.trace.peaks[part].by_purpose)
        outside.subtract(peak.by_purpose)
        outside.subtract(share(longer.layer))
        by_purpose.update({purpose: size * longer.times for purpose, size in outside.items()})
    return Peak(sum(by_purpose.values()), by_purpose)


def _extended_batch(short: StepTrace, depths: _Depths, longer: _Longer | None) -> Mapping[Operation, float]:
    """Counts may be negative: one operation for all layers is then another one, of another size."""
    counts = Counter(short.operations[BATCH])
    for layer, times in Counter(map(depths.like, depths.alike)).items():
        counts.update({item: count * times for item, count in short.layers[layer].operations.items()})
    if longer is not None:
        outside = Counter(longer.trace.operations[BATCH])
        outside.subtract(short.operations[BATCH])
        outside.subtract(short.layers[depths.like(longer.layer)].operations)
        counts.update({item: count * longer.times for item, count in outside.items()})
    return counts
