"""Measures a device's rates on it: matrix products, attention, functions and copies of several sizes."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from pipeline.estimate.rates import Curve, Rates

_ROWS = 1024
_WIDTHS = (16, 64, 256, 1024, 4096)
_ELEMENTS = tuple(4**power * 1024 for power in range(2, 8))
_POOL_ELEMENTS = 32 * 1024 * 1024
_REPETITIONS = 5
_SMALL_OPERATIONS = 400


def measure_rates(device: torch.device) -> Rates:
    """The rates of `device`, in some seconds, with at most 0.3 GB of its memory."""
    formats = [torch.float32, torch.bfloat16]
    return Rates(
        device=device_name(device),
        measured=True,
        overhead=_overhead(device),
        products={_name(dtype): _products(device, dtype) for dtype in formats},
        attention={_name(dtype): _attention(device, dtype) for dtype in formats},
        functions=_elementwise(device, torch.exp, tensors=2),
        movement=_elementwise(device, lambda values: values + values, tensors=3),
    )


def device_name(device: torch.device) -> str:
    """What the device is, with what its speed depends on besides."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _products(device: torch.device, dtype: torch.dtype) -> Curve:
    curve = []
    for width in _WIDTHS:
        left = torch.randn(_ROWS, 1024, device=device, dtype=dtype)
        right = torch.randn(width, 1024, device=device, dtype=dtype)
        seconds = _median_seconds(device, lambda left=left, right=right: functional.linear(left, right))
        curve.append((2.0 * _ROWS * 1024 * width, seconds))
    return _ascending(curve)


def _attention(device: torch.device, dtype: torch.dtype) -> Curve:
    curve = []
    for length in (64, 256, 1024):
        heads = torch.randn(4, 4, length, 64, device=device, dtype=dtype)
        seconds = _median_seconds(
            device, lambda heads=heads: functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        )
        curve.append((4.0 * 4 * 4 * length * length * 64, seconds))
    return _ascending(curve)


def _elementwise(device: torch.device, act: Callable[[torch.Tensor], torch.Tensor], *, tensors: int) -> Curve:
    """Over more memory than caches hold, and with results that are kept, as in a forward pass."""
    curve = []
    for elements in _ELEMENTS:
        pool = torch.rand(max(1, min(64, _POOL_ELEMENTS // elements)), elements, device=device)
        seconds = _median_seconds(device, lambda pool=pool: [act(values) for values in pool])
        curve.append((4.0 * elements * tensors, seconds / len(pool)))
    return _ascending(curve)


def _overhead(device: torch.device) -> float:
    weight = torch.ones(16, device=device, requires_grad=True)
    began = time.perf_counter()
    for _ in range(_SMALL_OPERATIONS // 4):
        ((weight * 2) + 1).sum().backward()
    _wait(device)
    return (time.perf_counter() - began) / (_SMALL_OPERATIONS * 2)


def _median_seconds(device: torch.device, act: Callable[[], object]) -> float:
    act()
    seconds = []
    for _ in range(_REPETITIONS):
        _wait(device)
        began = time.perf_counter()
        act()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _ascending(curve: Curve) -> Curve:
    """More work takes no less time, whatever the noise says."""
    longest, rising = 0.0, []
    for size, seconds in curve:
        longest = max(longest, seconds)
        rising.append((size, longest))
    return rising


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
