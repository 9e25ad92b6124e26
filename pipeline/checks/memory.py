"""Checks of what the run is predicted to need against the memory that is free."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, info, warning
from pipeline.config import FineTuneJobConfig
from pipeline.estimates import DeviceEstimate, Fit

_FIELD = "training.per_device_batch_size"


def check_memory(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The predicted peak fits into the free memory of a device that the run may be given."""
    if facts.estimate is None:
        if facts.estimate_problem is None:
            return []
        return [info("not_estimated", _FIELD, f"Memory and time are not known: {facts.estimate_problem}")]
    judged = [device for device in facts.estimate.devices if device.verdict is not None]
    if not judged or any(device.verdict == "fits" for device in judged):
        return []
    roomiest = max(judged, key=lambda device: device.free or 0)
    busy = _is_busy(roomiest, facts)
    if roomiest.verdict == "does_not_fit" and busy is None:
        message = f"{_needs(roomiest)}, so the run would end without memory. {_cure(facts.fit)}"
        return [error("does_not_fit", _FIELD, message, *_fixes(facts.fit))]
    if roomiest.verdict == "does_not_fit":
        message = f"{_needs(roomiest)}. {busy} Wait until it is free, or make the run smaller. {_cure(facts.fit)}"
        return [warning("gpu_busy", _FIELD, message, *_fixes(facts.fit))]
    message = f"{_needs(roomiest)}; up to {_gb(roomiest.memory.high)} GB are possible. {_cure(facts.fit)}"
    return [warning("fits_tightly", _FIELD, message, *_fixes(facts.fit))]


def _needs(device: DeviceEstimate) -> str:
    return (
        f"The run needs about {_gb(device.memory.total)} GB of memory {device.memory.moment}, and {device.name} has "
        f"{_gb(device.free or 0)} GB free"
    )


def _is_busy(device: DeviceEstimate, facts: Facts) -> str | None:
    """What takes the memory that the run would have had; None where it would not have been enough."""
    for gpu in facts.gpus or ():
        if gpu.name == device.name and gpu.memory_free == device.free and device.memory.high <= gpu.memory_total:
            return f"Other processes take {_gb(gpu.memory_total - gpu.memory_free)} GB of it."
    return None


def _cure(fit: Fit | None) -> str:
    if fit is None:
        return "Use smaller batches, or press Fit it for me."
    if fit.patch is None:
        return "Nothing that was tried makes it fit: choose a smaller model, or a device with more memory."
    step = next(step for step in fit.steps if step.patch == fit.patch)
    return f"With {fit.label[:1].lower()}{fit.label[1:]} it takes {_gb(step.total)} GB."


def _fixes(fit: Fit | None) -> tuple[Fix, ...]:
    return () if fit is None or not fit.patch else (Fix(label=fit.label, patch=fit.patch),)


def _gb(count: int) -> str:
    return f"{count / 1e9:,.1f}"
