"""What the allocator and the driver take besides tensors, against published pairs."""

import pytest

from pipeline.estimate.device_memory import (
    CONTEXT_BYTES,
    HIGH_ALLOCATOR_SHARE,
    LOW_ALLOCATOR_SHARE,
    allocator_bytes,
)

GIB = 1 << 30


@pytest.mark.parametrize(("allocated", "reserved"), [(13.09, 13.58), (9.40, 9.76), (36.36, 38.31)])
def test_reserved_memory_follows_from_allocated(allocated: float, reserved: float) -> None:
    predicted = allocated + allocator_bytes(round(allocated * GIB)) / GIB
    assert predicted == pytest.approx(reserved, rel=0.015)


@pytest.mark.parametrize(("allocated", "reserved"), [(22.72, 22.97), (27.12, 30.44), (13.09, 13.58)])
def test_range_of_shares_holds_what_was_measured(allocated: float, reserved: float) -> None:
    share = reserved / allocated - 1
    assert LOW_ALLOCATOR_SHARE <= share <= HIGH_ALLOCATOR_SHARE + 0.005


@pytest.mark.parametrize("measured_mib", [414, 520, 348, 143])
def test_context_is_not_far_below_what_was_measured(measured_mib: int) -> None:
    assert measured_mib * (1 << 20) <= CONTEXT_BYTES * 1.02
