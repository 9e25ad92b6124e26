"""What the doors show of a run's memory and speed: measured, and beside it what was predicted."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.estimate_history import MEASURED, Pair, outcome
from pipeline.measurements import GpuMemory, Measurements


def resource_view(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Memory in bytes and a step in seconds, each with `predicted` where the two can be compared; None before the end
    of training.

    `memory.of` is what was measured: the `gpu`, or the `process` above what it held before the model was loaded, while
    it was `training`, or since its `start`, loading included.
    """
    try:
        measured = Measurements.model_validate(facts[MEASURED])
    except (KeyError, ValidationError):
        # Also figures of another version.
        return None
    compared = outcome(facts)
    return {
        "device": measured.device,
        "memory": _memory(measured, None if compared is None else compared.memory),
        "step_seconds": {
            "measured": measured.step_seconds,
            "predicted": _predicted(None if compared is None else compared.step),
        },
        "tokens_per_second": measured.tokens_per_second,
    }


def _memory(measured: Measurements, pair: Pair | None) -> dict[str, Any] | None:
    memory = measured.memory
    if memory is None:
        return None
    return {
        "of": memory.kind,
        "since": "training" if isinstance(memory, GpuMemory) else memory.since,
        "measured": memory.peak,
        "predicted": _predicted(pair),
    }


def _predicted(pair: Pair | None) -> float | None:
    return None if pair is None else pair.predicted
