"""What past runs say about predictions: pairs, errors, and corrected estimates."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.estimate_history import EstimateHistory, Outcome, Pair, corrected, history_of, outcome
from pipeline.estimates import DeviceEstimate
from pipeline.measurements import GpuMemory, ProcessMemory
from tests.estimates import DEVICE, TENSORS, estimate, facts, measurements

RATIOS = st.lists(st.floats(0.2, 5.0), min_size=1, max_size=40)


def history(memory: list[float], time: list[float] | None = None) -> EstimateHistory:
    """Runs that took these shares of what was traced."""
    pairs = [Pair(1000, 1000, 1000 * ratio) for ratio in memory]
    steps = [Pair(2, 2, 2 * ratio) for ratio in (memory if time is None else time)]
    return history_of(DEVICE, [Outcome(*both) for both in zip(pairs, steps, strict=True)])


def learned(known: EstimateHistory, **options: Any) -> DeviceEstimate:
    return corrected(estimate(**options), known).devices[0]


@pytest.mark.parametrize(
    ("memory", "predicted", "measured"),
    [
        (GpuMemory(allocated=800, reserved=900, outside=150), 1000, 1050),
        (GpuMemory(allocated=800, reserved=950, outside=None), 900, 950),
        (ProcessMemory(peak=1100, since="training"), 900, 1100),
    ],
    ids=["gpu", "gpu whose driver does not tell", "process"],
)
def test_like_is_compared_with_like(memory: Any, predicted: int, measured: int) -> None:
    found = outcome(facts(estimate(), measurements(memory)))
    assert found is not None
    assert found.memory is not None
    assert (found.memory.predicted, found.memory.measured) == (predicted, measured)
    assert found.step == Pair(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"memory": ProcessMemory(peak=1100, since="start")}, "memory"),
        ({"memory": ProcessMemory(peak=0, since="training")}, "memory"),
        ({"memory": None}, "memory"),
        ({"steps": 2}, "step"),
        ({"step_seconds": None}, "step"),
    ],
)
def test_what_cannot_be_compared_is_left_out(changes: dict[str, Any], what: str) -> None:
    values = {"memory": GpuMemory(allocated=800, reserved=900, outside=100), **changes}
    found = outcome(facts(estimate(), measurements(**values)))
    assert found is not None
    assert getattr(found, what) is None
    assert [found.memory, found.step].count(None) == 1


def test_job_without_a_pair_tells_nothing() -> None:
    known = facts(estimate(), measurements(None))
    assert outcome({}) is None
    assert outcome({"measured": known["measured"]}) is None
    assert outcome(facts(estimate("NVIDIA T4"), measurements(None))) is None
    assert outcome({**known, "estimate": {**known["estimate"], "of a later version": 1}}) is None


def test_errors_are_told_of_what_was_shown() -> None:
    outcomes = [Outcome(Pair(predicted=1100, traced=1000, measured=1000 + 10 * run), None) for run in range(21)]
    errors = history_of(DEVICE, outcomes).memory
    assert errors is not None
    assert (errors.runs, errors.median_ratio, errors.low_ratio, errors.high_ratio) == (21, 1.1, 1.01, 1.19)
    assert errors.typical == pytest.approx(50 / 1050)
    assert errors.worst == pytest.approx(0.1)
    assert history_of(DEVICE, outcomes).time is None


@pytest.mark.parametrize("runs", [0, 1, 4])
def test_few_runs_leave_the_default_ranges(runs: int) -> None:
    device = learned(history([1.0] * runs))
    assert device.time is not None
    assert (device.memory.low, device.memory.total, device.memory.high) == (955, 1000, 1090)
    assert (device.time.low, device.time.total_seconds, device.time.high) == pytest.approx((17.5, 25, 32.5))


def test_device_that_got_slower_is_predicted_slower() -> None:
    device = learned(history([1.0] * 5, [1.44] * 5))
    assert device.time is not None
    # Five runs weigh as much as the defaults: the root of 1.44.
    assert device.time.correction == pytest.approx(1.2)
    assert device.time.step_seconds == pytest.approx(2.4)
    assert device.time.total_seconds == pytest.approx(30)
    assert device.time.tokens_per_second == pytest.approx(50 / 1.2)
    assert device.time.low == pytest.approx(25 * 1.2 * 0.7**0.5)
    assert device.time.high == pytest.approx(25 * 1.44 * 1.3**0.5)


def test_many_runs_decide_alone() -> None:
    spread = [1.5 + 0.01 * (run % 21 - 10) for run in range(2100)]
    device = learned(history([1.0] * len(spread), spread))
    assert device.time is not None
    assert device.time.step_seconds == pytest.approx(3.0, rel=0.01)
    assert (device.time.low / 25, device.time.high / 25) == pytest.approx((1.41, 1.59), rel=0.01)


def test_memory_beyond_the_trace_becomes_a_term_of_its_own() -> None:
    device = learned(history([1.21] * 5), free=1200)
    assert (device.memory.correction, device.memory.total) == (90, 1090)
    assert device.memory.by_purpose == estimate().devices[0].memory.by_purpose
    assert device.verdict == "tight"
    assert learned(history([1.21] * 5), free=1050).verdict == "does_not_fit"
    assert learned(history([1.21] * 5), free=5000).verdict == "fits"


def test_other_devices_and_unknown_times_stay() -> None:
    known = history([2.0] * 9)
    assert corrected(estimate("NVIDIA T4"), known) == estimate("NVIDIA T4")
    assert learned(known, with_time=False).time is None


@given(RATIOS)
def test_corrected_estimates_keep_their_order(ratios: list[float]) -> None:
    device = learned(history(ratios))
    memory, time = device.memory, device.time
    assert time is not None
    assert TENSORS <= memory.low <= memory.total <= memory.high
    assert memory.total >= 1000
    assert 0 < time.low <= time.total_seconds * 1.0000001
    assert time.total_seconds <= time.high * 1.0000001
    assert min(1, *ratios) * 25 * 0.999 <= time.total_seconds <= max(1, *ratios) * 25 * 1.001


@given(RATIOS, RATIOS)
def test_correction_starts_from_the_trace_each_time(earlier: list[float], later: list[float]) -> None:
    once = corrected(estimate(), history(later)).devices[0]
    twice = corrected(corrected(estimate(), history(earlier)), history(later)).devices[0]
    assert twice.memory == once.memory
    assert once.time is not None
    assert twice.time is not None
    assert twice.time.model_dump() == pytest.approx(once.time.model_dump())


@given(st.floats(0.2, 5.0), st.integers(5, 60))
def test_more_runs_of_a_kind_bring_the_prediction_nearer(ratio: float, runs: int) -> None:
    fewer, more = learned(history([1.0] * runs, [ratio] * runs)), learned(history([1.0] * 99, [ratio] * 99))
    assert fewer.time is not None
    assert more.time is not None
    truth = 25 * ratio
    assert abs(more.time.total_seconds - truth) <= abs(fewer.time.total_seconds - truth) + 1e-9
    assert more.time.low <= truth <= more.time.high
    assert fewer.time.low <= truth <= fewer.time.high
