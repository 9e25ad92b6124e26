"""Traces a deep model at small depths and extends the result, since a layer more adds the same each time."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from pipeline.estimate.ledger import Peak, Purpose
from pipeline.estimate.operations import Operation
from pipeline.estimate.step_trace import StepTrace

# Settings by which layers of one model differ in ways that no list of the configuration tells.
_UNEVEN = ("first_k_dense_replace", "mlp_only_layers", "attn_layer_period", "expert_layer_period", "moe_layer_freq")

# What every trace takes besides its layers, in layers.
_COST_OF_A_TRACE = 2


ShorterTrace = Callable[[PreTrainedConfig, Sequence[int]], StepTrace]
"""Takes the configuration of a model with few layers, and their numbers in the whole model."""


@dataclass(frozen=True)
class _Depths:
    """The layers of the smallest model, and for each kind of layer those of a model with one more of it."""

    base: tuple[int, ...]
    longer: tuple[tuple[tuple[int, ...], int], ...]
    """Layers of the longer model, and how often what it has more is to be added."""


def trace_deep(model_config: PreTrainedConfig, trace: ShorterTrace) -> StepTrace:
    """`trace` of the whole model, from traces of models with few of its layers where all layers are of few kinds.

    The result is exact as far as a layer more of a kind adds the same each time.
    """
    depths = _depths(model_config.get_text_config())
    if depths is None:
        return trace(model_config, range(model_config.get_text_config().num_hidden_layers))
    base = trace(with_layers(model_config, depths.base), depths.base)
    longer = [(trace(with_layers(model_config, layers), layers), times) for layers, times in depths.longer]
    return StepTrace(
        peaks={part: _extended_peak(part, base, longer) for part in base.peaks},
        operations={part: _extended_counts(part, base, longer) for part in base.operations},
        batches=base.batches,
        parameters=_extended(base.parameters, [(more.parameters, times) for more, times in longer]),
        trainable_parameters=_extended(
            base.trainable_parameters, [(more.trainable_parameters, times) for more, times in longer]
        ),
    )


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


def _depths(text: PreTrainedConfig) -> _Depths | None:
    count = text.num_hidden_layers
    if any(getattr(text, name, None) for name in _UNEVEN):
        return None
    kinds: dict[Any, list[int]] = {}
    for layer in range(count):
        kinds.setdefault(_kind_of(text, layer), []).append(layer)
    # The first layer, and of each kind the last, are those at which the memory of a step is highest.
    base = {0, *(layers[-1] for layers in kinds.values())}
    longer = []
    for layers in kinds.values():
        rest = [layer for layer in layers if layer not in base]
        if rest:
            longer.append((tuple(sorted({*base, rest[0]})), len(rest)))
    traced = len(base) + sum(len(layers) for layers, _ in longer)
    if traced + _COST_OF_A_TRACE * (1 + len(longer)) >= count:
        return None
    return _Depths(tuple(sorted(base)), tuple(longer))


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


def _extended(base: int, longer: Sequence[tuple[int, int]]) -> int:
    return base + sum((more - base) * times for more, times in longer)


def _extended_peak(part: str, base: StepTrace, longer: Sequence[tuple[StepTrace, int]]) -> Peak:
    peaks = [(more.peaks[part], times) for more, times in longer]
    purposes: set[Purpose] = {*base.peaks[part].by_purpose}.union(*(peak.by_purpose for peak, _ in peaks))
    by_purpose: Mapping[Purpose, int] = {
        purpose: _extended(
            base.peaks[part].by_purpose.get(purpose, 0), [(peak.by_purpose.get(purpose, 0), n) for peak, n in peaks]
        )
        for purpose in purposes
    }
    return Peak(sum(by_purpose.values()), by_purpose)


def _extended_counts(part: str, base: StepTrace, longer: Sequence[tuple[StepTrace, int]]) -> Counter[Operation]:
    """Counts may be negative: one operation on all weights is then another one, of another size."""
    counts: Counter[Operation] = Counter(base.operations[part])
    for more, times in longer:
        difference = Counter(more.operations.get(part, {}))
        difference.subtract(base.operations[part])
        for operation, count in difference.items():
            counts[operation] += count * times
    return Counter({operation: count for operation, count in counts.items() if count})
