"""Rates: how long a device takes for an operation, as measured on it or from its published figures."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

# Shares of the published peaks that large matrix products and copies attain on GPUs; the roofline model (Williams et
# al. 2009, doi:10.1145/1498765.1498785) tells such ceilings from the peaks.
PRODUCT_EFFICIENCY = 0.6
COPY_EFFICIENCY = 0.8
# A kernel's launch from eager PyTorch, Python included.
KERNEL_SECONDS = 8e-6

Curve = list[tuple[float, float]]
"""Seconds of an operation by its size, ascending. Between two points and beyond them it is a straight line of logs."""


class Operation(Protocol):
    """What is asked of an operation."""

    kind: str
    dtype: str
    flops: int
    moved: int


class Rates(BaseModel):
    """Seconds of operations by size: products and attention by their floating-point operations, the rest by bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    device: str
    measured: bool = Field(description="On the device itself; else from published figures.")
    is_quiet: bool = Field(True, description="Whether hardly anything else went on while it was measured.")
    scale: float = Field(
        1.0, description="Seconds of a real step over the sum of those of its operations: what else there is to do."
    )
    overhead: float = Field(description="Seconds that an operation takes at least, whatever its size.")
    products: dict[str, Curve] = Field(description="By number format.")
    attention: dict[str, Curve] = Field(description="By number format.")
    functions: Curve
    movement: Curve

    def seconds(self, operation: Operation) -> float:
        """How long the operation takes."""
        moves = self.functions if operation.kind == "function" else self.movement
        seconds = max(self.overhead, _read(moves, operation.moved))
        if operation.kind in ("product", "attention"):
            curves = self.products if operation.kind == "product" else self.attention
            curve = curves.get(operation.dtype) or next(iter(curves.values()))
            seconds = max(seconds, _read(curve, operation.flops))
        return seconds * self.scale

    def movement_seconds(self, moved: int) -> float:
        """How long it takes to read and write so many bytes."""
        return _read(self.movement, moved)


def published_rates(name: str, *, tflops: Mapping[str, float], bandwidth: float) -> Rates:
    """Rates of a device that is not here.

    Args:
        tflops: dense matrix products by number format, 10^12 floating-point operations a second
        bandwidth: of its memory, 10^9 bytes a second
    """
    products = {dtype: _line(rate * 1e12 * PRODUCT_EFFICIENCY) for dtype, rate in tflops.items()}
    moving = _line(bandwidth * 1e9 * COPY_EFFICIENCY)
    return Rates(
        device=name,
        measured=False,
        overhead=KERNEL_SECONDS,
        products=products,
        attention=products,
        functions=moving,
        movement=moving,
    )


def _line(rate: float) -> Curve:
    return [(size, size / rate) for size in (1.0, 1e12)]


def _read(curve: Sequence[tuple[float, float]], size: float) -> float:
    if size <= 0:
        return 0.0
    place = min(max(bisect_left(curve, (size, 0.0)), 1), len(curve) - 1)
    (low, low_seconds), (high, high_seconds) = curve[place - 1], curve[place]
    share = math.log(size / low) / math.log(high / low)
    return float(low_seconds * (high_seconds / low_seconds) ** share)
