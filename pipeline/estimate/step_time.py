"""How long a traced step takes on a device: the sum of its operations' times."""

from pipeline.estimate.rates import Rates
from pipeline.estimate.step_trace import BEFORE, StepTrace

# Once a step; everything else is done for each batch of it.
_ONCE = ("optimizer", "after")
# A backward pass is two forward passes (Kaplan et al. 2020, arXiv:2001.08361, section 2.1); with checkpointing three.
FORWARD_SHARE, FORWARD_SHARE_CHECKPOINTED = 1 / 3, 1 / 4


def step_seconds(trace: StepTrace, rates: Rates, *, accumulation: int) -> float:
    """Seconds of an optimiser step of `accumulation` batches like the traced one."""
    total = 0.0
    for part, counts in trace.operations.items():
        if part == BEFORE:
            continue
        seconds = sum(rates.seconds(operation) * count for operation, count in counts.items())
        total += seconds if part in _ONCE else seconds * accumulation / trace.batches
    return total
