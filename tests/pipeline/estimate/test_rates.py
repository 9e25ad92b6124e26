"""Seconds of operations by their size, on devices that were measured and on published ones."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.estimate.calibrate import measure_rates
from pipeline.estimate.rates import KERNEL_SECONDS, Rates, published_rates
from pipeline.hardware_specs import gpu_spec, rates_of


@dataclass(frozen=True)
class Operation:
    kind: str = "product"
    dtype: str = "bfloat16"
    flops: int = 0
    moved: int = 0


def measured(**curves: object) -> Rates:
    line = [(1e3, 1e-6), (1e6, 1e-3)]
    known = {"products": {"float32": line}, "attention": {"float32": line}, "functions": line, "movement": line}
    return Rates(device="a device", measured=True, overhead=1e-6, **{**known, **curves})  # type: ignore[arg-type]


def test_product_on_a_published_device_is_bound_by_its_peak() -> None:
    rates = rates_of(gpu_spec("a100"))
    seconds = rates.seconds(Operation(flops=10**15))
    # 312 TFLOPS, of which large products attain three fifths.
    assert seconds == pytest.approx(1000 / 312 / 0.6, rel=0.01)


def test_product_that_reads_much_is_bound_by_the_memory() -> None:
    rates = published_rates("a device", tflops={"bfloat16": 100}, bandwidth=1000)
    narrow = Operation(flops=10**9, moved=8 * 10**9)
    assert rates.seconds(narrow) == pytest.approx(8 / 1000 / 0.8)


def test_small_operation_takes_as_long_as_its_launch() -> None:
    rates = published_rates("a device", tflops={"bfloat16": 100}, bandwidth=1000)
    assert rates.seconds(Operation(flops=10, moved=10)) == KERNEL_SECONDS


def test_size_between_two_measured_ones_is_between_them() -> None:
    assert measured().seconds(Operation("movement", moved=31_623)) == pytest.approx(31.6e-6, rel=0.01)


def test_number_format_that_was_not_measured_is_read_from_another_curve() -> None:
    known = measured()
    assert known.seconds(Operation(dtype="float16", flops=10**5)) == known.seconds(
        Operation(dtype="float32", flops=10**5)
    )


@given(
    st.integers(1, 10**12), st.integers(1, 10**12), st.sampled_from(["product", "attention", "function", "movement"])
)
def test_more_work_never_takes_less_time(size: int, more: int, kind: str) -> None:
    small, large = (Operation(kind, flops=count, moved=count) for count in (size, size + more))
    assert measured().seconds(small) <= measured().seconds(large)


def test_this_processor_is_measured() -> None:
    rates = measure_rates(torch.device("cpu"))
    assert rates.measured
    curves = [*rates.products.values(), *rates.attention.values(), rates.functions, rates.movement]
    for curve in curves:
        assert curve == sorted(curve)
        assert [seconds for _, seconds in curve] == sorted(seconds for _, seconds in curve)
    # Between a processor of long ago and one that is not built yet.
    size, seconds = rates.products["float32"][-1]
    assert 1e9 < size / seconds < 1e14
    assert 1e-7 < rates.overhead < 1e-2
