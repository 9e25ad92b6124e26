"""How far predictions for a device were off in past runs, and predictions that have learned from that.

A ratio is what a run took over what was traced for it. How much `n` past runs count against the defaults is Bühlmann's
credibility, Z = n / (n + k) (Bühlmann 1967, "Experience rating and credibility", ASTIN Bulletin 4(3)), on logarithms
of ratios:

    centre = median ^ Z
    low    = min(centre, median) * default low ^ (1 - Z) * (5th percentile / median) ^ Z
    high   = max(centre, median) * default high ^ (1 - Z) * (95th percentile / median) ^ Z

Before there are enough runs for percentiles, low and high are the defaults around the centre.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.estimates import DeviceEstimate, Estimate, MemoryEstimate, TimeEstimate, verdict
from pipeline.measurements import GpuMemory, Measurements

# Names of the two documents among the facts of a job.
ESTIMATE, MEASURED = "estimate", "measured"

# Traced bytes are exact and what surrounds them is rounded up or unknown; speeds differ from one hour to the next.
MEMORY_RANGE = (0.95, 1.10)
TIME_RANGE = (0.70, 1.30)
ENOUGH_RUNS = 5
# k: with so many past runs, they and the defaults weigh the same.
CREDIBILITY_RUNS = 5


@dataclass(frozen=True)
class Pair:
    """One prediction and what came of it; `traced` is the prediction before past runs corrected it."""

    predicted: float
    traced: float
    measured: float

    @property
    def ratio(self) -> float:
        """Measured over traced."""
        return self.measured / self.traced

    @property
    def error(self) -> float:
        """How far off the prediction was, as a share of what was measured."""
        return abs(self.predicted - self.measured) / self.measured


@dataclass(frozen=True)
class Outcome:
    """A run's memory in bytes and step in seconds, predicted and measured; None where the two cannot be compared."""

    memory: Pair | None
    step: Pair | None


@dataclass(frozen=True)
class Errors:
    """Over past runs: ratios (median, 5th and 95th percentile), and the median and the largest error."""

    runs: int
    median_ratio: float
    low_ratio: float
    high_ratio: float
    typical: float
    worst: float


@dataclass(frozen=True)
class EstimateHistory:
    """How far predictions for `device` were off; None where no run can tell."""

    device: str
    memory: Errors | None
    time: Errors | None


def outcome(facts: Mapping[str, Any]) -> Outcome | None:
    """What became of a job's prediction, from its facts; None without a prediction for the device it ran on."""
    try:
        estimate, measured = Estimate.model_validate(facts[ESTIMATE]), Measurements.model_validate(facts[MEASURED])
    except (KeyError, ValidationError):
        # Also documents of another version: they say nothing about this one's predictions.
        return None
    device = next((device for device in estimate.devices if device.name == measured.device), None)
    if device is None:
        return None
    return Outcome(_memory_pair(device.memory, measured), _step_pair(device.time, measured))


def history_of(device: str, outcomes: Iterable[Outcome]) -> EstimateHistory:
    """The errors of past predictions for `device`."""
    known = list(outcomes)
    memory = [outcome.memory for outcome in known if outcome.memory is not None]
    return EstimateHistory(device, _errors(memory), _errors([run.step for run in known if run.step is not None]))


def corrected(estimate: Estimate, history: EstimateHistory) -> Estimate:
    """The estimate with its part for the history's device corrected, and the likely ranges as past runs were spread.

    Memory is never lowered below what was traced. Correcting what is corrected already changes nothing.
    """
    devices = [_corrected(device, history) if device.name == history.device else device for device in estimate.devices]
    return estimate.model_copy(update={"devices": devices})


def _corrected(device: DeviceEstimate, history: EstimateHistory) -> DeviceEstimate:
    memory = _corrected_memory(device.memory, history.memory)
    time = None if device.time is None else _corrected_time(device.time, history.time)
    changed = {"memory": memory, "time": time, "verdict": verdict(memory, device.free)}
    return device.model_copy(update=changed)


def _corrected_memory(memory: MemoryEstimate, errors: Errors | None) -> MemoryEstimate:
    # Runs tell how much more is taken for the tensors; driver and libraries take what they take.
    context, traced = memory.context, memory.total - memory.correction - memory.context
    centre, low, high = _learned(errors, MEMORY_RANGE, least=1.0)
    taken = max(traced, round(traced * centre))
    return memory.model_copy(
        update={
            "correction": taken - traced,
            # Live tensors are counted one by one: less than them it cannot be.
            "low": context + min(taken, max(memory.tensors, round(traced * low))),
            "high": context + max(taken, round(traced * high)),
        }
    )


def _corrected_time(time: TimeEstimate, errors: Errors | None) -> TimeEstimate:
    centre, low, high = _learned(errors, TIME_RANGE, least=0.0)
    slower = centre / time.correction
    traced = time.total_seconds / time.correction
    return time.model_copy(
        update={
            "step_seconds": time.step_seconds * slower,
            "train_seconds": time.train_seconds * slower,
            "evaluation_seconds": time.evaluation_seconds * slower,
            "samples_per_second": time.samples_per_second / slower,
            "tokens_per_second": time.tokens_per_second / slower,
            "low": traced * low,
            "high": traced * high,
            "correction": centre,
        }
    )


def _learned(errors: Errors | None, default: tuple[float, float], *, least: float) -> tuple[float, float, float]:
    """Centre, low and high by the formula of the module, as factors of the traced; the centre is `least` or more."""
    default_low, default_high = default
    if errors is None:
        return 1.0, default_low, default_high
    trust = errors.runs / (errors.runs + CREDIBILITY_RUNS)
    centre = max(least, errors.median_ratio**trust)
    if errors.runs < ENOUGH_RUNS:
        return centre, centre * default_low, centre * default_high
    below = default_low ** (1 - trust) * (errors.low_ratio / errors.median_ratio) ** trust
    above = default_high ** (1 - trust) * (errors.high_ratio / errors.median_ratio) ** trust
    return centre, min(centre, errors.median_ratio) * below, max(centre, errors.median_ratio) * above


def _errors(pairs: Sequence[Pair]) -> Errors | None:
    if not pairs:
        return None
    ratios, errors = [pair.ratio for pair in pairs], [pair.error for pair in pairs]
    # Of one run every percentile is that run.
    twentieths = statistics.quantiles(ratios * 2 if len(ratios) == 1 else ratios, n=20, method="inclusive")
    return Errors(
        runs=len(pairs),
        median_ratio=statistics.median(ratios),
        low_ratio=twentieths[0],
        high_ratio=twentieths[-1],
        typical=statistics.median(errors),
        worst=max(errors),
    )


def _memory_pair(memory: MemoryEstimate, measured: Measurements) -> Pair | None:
    match measured.memory:
        case None:
            return None
        case GpuMemory(outside=None) as taken:
            # What the driver does not tell of is left out on both sides.
            return _pair(memory.total - memory.context, memory.correction, taken.reserved)
        case GpuMemory() as taken:
            return _pair(memory.total, memory.correction, taken.peak)
        case taken:
            # A peak that includes loading says little about training. What the libraries take is in neither.
            since_training = taken.since == "training"
            return _pair(memory.total - memory.context, memory.correction, taken.peak) if since_training else None


def _pair(predicted: int, correction: int, measured: int) -> Pair | None:
    traced = predicted - correction
    return Pair(predicted, traced, measured) if traced > 0 and measured > 0 else None


def _step_pair(time: TimeEstimate | None, measured: Measurements) -> Pair | None:
    if time is None or not measured.step_seconds or not time.step_seconds or not measured.is_warm:
        return None
    return Pair(time.step_seconds, time.step_seconds / time.correction, measured.step_seconds)
