"""Measures a device's rates on it: products, attention, functions and copies of several sizes, and a whole step."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch.nn import functional

from pipeline.device_name import device_name
from pipeline.estimate.rates import Curve, Rates
from pipeline.estimate.reference_step import measured_seconds, summed_seconds
from pipeline.host_memory import keep_freed_memory
from pipeline.model_manager import choose_device

_ROWS = 1024
_WIDTHS = (16, 64, 256, 1024, 4096)
_FEW_ROWS = (16, 128)
_ELEMENTS = tuple(4**power * 1024 for power in range(8))
_POOL_ELEMENTS = 16 * 1024 * 1024
_REPETITIONS = 3
_SMALL_LAYERS = 200
# Share of the processors' time that others may take; with more, two programs wait for each other at every step.
_QUIET = 0.15


def measure_rates(device: torch.device) -> Rates:
    """The rates of `device`, in some seconds, with at most 0.3 GB of its memory."""
    if device.type == "cpu":
        # As a run does.
        keep_freed_memory()
    formats = [torch.float32, torch.bfloat16]
    before = _busy_seconds()
    # Before and after all else: machines are faster at one time than at another.
    first = measured_seconds(device)
    rates = Rates(
        device=device_name(device),
        measured=True,
        overhead=_overhead(device),
        products={_name(dtype): _products(device, dtype) for dtype in formats},
        attention={_name(dtype): _attention(device, dtype) for dtype in formats},
        functions=_elementwise(device, torch.exp, tensors=2),
        movement=_elementwise(device, lambda values: values + values, tensors=3),
    )
    seconds = min(first, measured_seconds(device))
    rates = rates.model_copy(update={"scale": seconds / summed_seconds(device, rates)})
    others, elapsed = (after - begin for after, begin in zip(_busy_seconds(), before, strict=True))
    return rates.model_copy(update={"is_quiet": others < _QUIET * elapsed})


def _busy_seconds() -> tuple[float, float]:
    """Seconds that the processors spent on other processes so far, and all their seconds."""
    times = psutil.cpu_times()
    own = psutil.Process().cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guest time is part of user time.
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return whole - idle - own.user - own.system, whole


def _products(device: torch.device, dtype: torch.dtype) -> Curve:
    curve = []
    shapes = [(rows, 256, 256) for rows in _FEW_ROWS] + [(_ROWS, 1024, width) for width in _WIDTHS]
    for rows, inner, width in shapes:
        left = torch.randn(rows, inner, device=device, dtype=dtype)
        right = torch.randn(width, inner, device=device, dtype=dtype)
        seconds = _least_seconds(device, lambda left=left, right=right: functional.linear(left, right))
        curve.append((2.0 * rows * inner * width, seconds))
    return _rising(sorted(curve))


def _attention(device: torch.device, dtype: torch.dtype) -> Curve:
    curve = []
    for length in (64, 256, 1024):
        heads = torch.randn(4, 4, length, 64, device=device, dtype=dtype)
        seconds = _least_seconds(
            device, lambda heads=heads: functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        )
        curve.append((4.0 * 4 * 4 * length * length * 64, seconds))
    return _rising(curve)


def _elementwise(device: torch.device, act: Callable[[torch.Tensor], torch.Tensor], *, tensors: int) -> Curve:
    """Over more memory than caches hold, and with results that are kept, as in a forward pass."""
    curve = []
    for elements in _ELEMENTS:
        pool = torch.rand(max(1, min(64, _POOL_ELEMENTS // elements)), elements, device=device)
        seconds = _least_seconds(device, lambda pool=pool: [act(values) for values in pool])
        curve.append((4.0 * elements * tensors, seconds / len(pool)))
    return _rising(curve)


def _overhead(device: torch.device) -> float:
    """Of operations on hardly any data, forward and backward, in a model's modules: Python takes longest there."""
    layers = torch.nn.Sequential(*(torch.nn.LayerNorm(8, device=device) for _ in range(_SMALL_LAYERS)))
    values = torch.ones(1, 8, device=device)
    seconds = _least_seconds(device, lambda: layers(values).sum().backward())
    return seconds / (2 * _SMALL_LAYERS)


def _least_seconds(device: torch.device, act: Callable[[], object]) -> float:
    """The shortest of some times: whatever else goes on can only make it longer."""
    act()
    seconds = []
    for _ in range(_REPETITIONS):
        _wait(device)
        began = time.perf_counter()
        act()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _rising(curve: Curve) -> Curve:
    """Less work takes no more time, whatever the noise says."""
    shortest, points = float("inf"), []
    for size, seconds in reversed(curve):
        shortest = min(shortest, seconds)
        points.append((size, shortest))
    return points[::-1]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def write_rates(file: Path) -> None:
    """Measure the accelerator, else the processor, and write its rates to `file`."""
    partial = file.with_name(f"{file.name}.partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(measure_rates(choose_device()).model_dump_json(indent=2), encoding="utf-8")
    partial.rename(file)


if __name__ == "__main__":
    write_rates(Path(sys.argv[1]))
