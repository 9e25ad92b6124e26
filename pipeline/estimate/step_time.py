"""How long a traced step takes on a device: the sum of its operations' times."""

from pipeline.estimate.rates import Rates
from pipeline.estimate.step_trace import BEFORE, StepTrace

# Once a step; everything else is done for each batch of it.
_ONCE = ("optimizer", "after")


def step_seconds(trace: StepTrace, rates: Rates, *, accumulation: int) -> float:
    """Seconds of an optimiser step of `accumulation` batches like the traced one."""
    total = 0.0
    for part, counts in trace.operations.items():
        if part == BEFORE:
            continue
        seconds = sum(rates.seconds(operation) * count for operation, count in counts.items())
        total += seconds if part in _ONCE else seconds * accumulation / trace.batches
    return total
