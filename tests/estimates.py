"""Estimates and measurements that tests start from."""

from pathlib import Path
from typing import Any

from pipeline.estimate.rates import published_rates
from pipeline.estimates import DeviceEstimate, Estimate, MemoryEstimate, TimeEstimate, verdict
from pipeline.measurements import GpuMemory, Measurements, ProcessMemory
from studio.application import RATES_FILE

DEVICE = "NVIDIA L4"
TENSORS, ALLOCATOR, CONTEXT = 800, 100, 100
"""Bytes of the memory that is predicted: 1000 in all."""


def write_rates(home: Path) -> Path:
    """The speed of some processor as the file that a studio keeps in `home`, so that no test has to wait for it."""
    file = home / RATES_FILE
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        rates = published_rates("some processor", tflops={"float32": 0.2, "bfloat16": 0.3}, bandwidth=20)
        known = rates.model_copy(update={"measured": True, "overhead": 2e-5})
        file.write_text(known.model_dump_json(), encoding="utf-8")
    return file


def estimate(device: str = DEVICE, *, free: int | None = None, with_time: bool = True) -> Estimate:
    """1000 bytes and 2 seconds a step on `device`."""
    return Estimate(
        devices=[
            DeviceEstimate(name=device, free=free, memory=_memory(), time=_time() if with_time else None, verdict=None)
        ],
        parameters=10,
        trainable_parameters=2,
        layers=2,
        rows_at_once=4,
        longest_tokens=8,
        max_length=8,
        seen_rows=4,
        assumptions=[],
        traced_seconds=0.1,
    )


def lasting(seconds: float) -> Estimate:
    """The estimate of a run that takes so long in all."""
    known = estimate()
    time = _time().model_copy(update={"train_seconds": seconds, "evaluation_seconds": 0.0})
    return known.model_copy(update={"devices": [known.devices[0].model_copy(update={"time": time})]})


def judged(total: int, *, high: int, free: int, device: str = DEVICE) -> Estimate:
    """The estimate of a run that takes `total` bytes, up to `high`, on a device with `free` bytes."""
    known = estimate(device, free=free)
    memory = _memory().model_copy(
        update={"by_purpose": {"weights": total}, "allocator": 0, "context": 0, "low": total, "high": high}
    )
    found = known.devices[0].model_copy(update={"memory": memory, "verdict": verdict(memory, free)})
    return known.model_copy(update={"devices": [found]})


def measurements(memory: GpuMemory | ProcessMemory | None, **changes: Any) -> Measurements:
    """2 seconds a step on the device of the estimates."""
    values = {"device": DEVICE, "memory": memory, "step_seconds": 2.0, "steps": 10, "tokens_per_second": 50.0}
    return Measurements(**{**values, **changes})


def facts(predicted: Estimate, measured: Measurements) -> dict[str, Any]:
    """What a job knows after such a run."""
    return {"estimate": predicted.model_dump(mode="json"), "measured": measured.model_dump(mode="json")}


def _memory() -> MemoryEstimate:
    return MemoryEstimate(
        by_purpose={"weights": 300, "activations": TENSORS - 300},
        moment="in the backward pass",
        allocator=ALLOCATOR,
        context=CONTEXT,
        low=990,
        high=1010,
    )


def _time() -> TimeEstimate:
    return TimeEstimate(
        step_seconds=2.0,
        steps=10,
        train_seconds=20.0,
        evaluation_seconds=5.0,
        low=24.0,
        high=26.0,
        samples_per_second=2.0,
        tokens_per_second=50.0,
        tokens=1000,
        rates="measured on this machine",
    )
