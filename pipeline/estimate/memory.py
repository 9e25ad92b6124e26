"""Memory of a device at the peak of a traced step: the tensors, what the allocator holds besides, and the context."""

from pipeline.estimate.device_memory import CONTEXT_BYTES, allocator_bytes
from pipeline.estimate.step_trace import StepTrace
from pipeline.estimate_history import MEMORY_RANGE
from pipeline.estimates import MemoryEstimate

# The C library keeps freed memory for later: 1.22 to 1.35 GB in all with 0.82 GB of tensors, 0.54 to 0.57 GB with 0.26
# (glibc 2.36 as it is installed; benchmarks/preflight_memory.py has the settings).
_CPU_FRAGMENTS, _CPU_KEPT = 0.5, 150_000_000


def memory_estimate(trace: StepTrace, *, on_gpu: bool, resident: int, sampling: int) -> MemoryEstimate:
    """The estimate of a device.

    Args:
        resident: bytes of a process with the libraries of a run and no model; for a run on the processor
        sampling: bytes of tensors while answers are sampled, 0 where none are
    """
    part, peak = trace.peak
    by_purpose, moment = dict(peak.by_purpose), _in_words(part)
    if sampling > peak.total:
        by_purpose = dict(trace.peaks["after"].by_purpose)
        by_purpose["workspace"] = by_purpose.get("workspace", 0) + sampling - sum(by_purpose.values())
        moment = "while answers are sampled"
    tensors = sum(by_purpose.values())
    allocator = allocator_bytes(tensors) if on_gpu else round(tensors * _CPU_FRAGMENTS) + _CPU_KEPT
    context = CONTEXT_BYTES if on_gpu else resident
    total = tensors + allocator + context
    low, high = MEMORY_RANGE
    return MemoryEstimate(
        by_purpose=by_purpose,
        moment=moment,
        allocator=allocator,
        context=context,
        low=round(total * low),
        high=round(total * high),
    )


def _in_words(part: str) -> str:
    name, _, layer = part.partition(" ")
    match name:
        case "forward" | "backward":
            return f"in layer {int(layer) + 1} of the {name} pass"
        case "loss":
            return "while the loss is computed"
        case "optimizer":
            return "while the optimiser updates the weights"
        case _:
            return "between two steps"
