"""What a run will need, as one document that crosses a process: memory, time, disk, and how sure that is."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.estimate.rates import Rates

Purpose = Literal["weights", "adapter", "gradients", "optimizer", "activations", "logits", "workspace"]
PURPOSES: dict[Purpose, str] = {
    "weights": "Weights",
    "adapter": "Adapter",
    "gradients": "Gradients",
    "optimizer": "Optimiser",
    "activations": "Activations",
    "logits": "Logits",
    "workspace": "Workspace",
}
Verdict = Literal["fits", "tight", "does_not_fit"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Device(_Document):
    """A kind of device that a run may be on."""

    name: str
    on_gpu: bool
    free: int | None = Field(None, description="Bytes of its memory that are free; all of them where it is not here.")
    has_bf16: bool = True
    rates: Rates | None = Field(None, description="Its speed. None: it is here, and is measured.")


class MemoryEstimate(_Document):
    """Bytes at the peak of a step."""

    by_purpose: dict[Purpose, int] = Field(description="Bytes of live tensors at the peak.")
    moment: str = Field(description="When the peak is, in words.")
    allocator: int = Field(description="What the allocator holds besides: rounding and fragments.")
    context: int = Field(description="What the device's driver and libraries take before the first tensor.")
    low: int = Field(description="With `high`, where the measured peak is likely to be.")
    high: int
    correction: int = Field(0, description="What past runs on this device took besides, added to the prediction.")

    @property
    def tensors(self) -> int:
        """Bytes of live tensors at the peak."""
        return sum(self.by_purpose.values())

    @property
    def total(self) -> int:
        """All that the run takes of the device's memory."""
        return self.tensors + self.allocator + self.context + self.correction


class TimeEstimate(_Document):
    """Seconds, and what is done in them."""

    step_seconds: float
    steps: int
    train_seconds: float = Field(description="All steps.")
    evaluation_seconds: float = Field(description="All evaluations; answers and scores aside.")
    low: float = Field(description="With `high`, where the whole time is likely to be, in seconds.")
    high: float
    samples_per_second: float
    tokens_per_second: float = Field(description="Real tokens, without padding.")
    tokens: int = Field(description="Real tokens of the whole run.")
    rates: str = Field(description="Where the device's speed is known from, in words.")
    correction: float = Field(1.0, description="What past runs on this device took of the seconds predicted at first.")

    @property
    def total_seconds(self) -> float:
        """Training and evaluations."""
        return self.train_seconds + self.evaluation_seconds


class DeviceEstimate(_Document):
    """The run on one kind of device."""

    name: str
    free: int | None = Field(description="Bytes of its memory that are free now, or all of them where it is not here.")
    memory: MemoryEstimate
    time: TimeEstimate | None
    verdict: Verdict | None = Field(description="None where the device's memory is not known.")


class Estimate(_Document):
    """What a run will need, on each device that was asked for."""

    devices: list[DeviceEstimate]
    parameters: int
    trainable_parameters: int
    layers: int
    rows_at_once: int
    longest_tokens: int = Field(description="Tokens of the longest row after it was cut.")
    max_length: int
    seen_rows: int = Field(description="Rows whose tokens were counted; 0 where lengths are assumed.")
    assumptions: list[str] = Field(description="What is not known and was assumed, in sentences.")
    traced_seconds: float


class FitStep(_Document):
    """One configuration that was tried for size."""

    label: str
    patch: dict[str, Any]
    total: int = Field(description="Bytes that it takes of the device's memory.")
    step_seconds: float | None
    verdict: Verdict | None


class Fit(_Document):
    """What makes a run fit."""

    patch: dict[str, Any] | None = Field(description="Changes by field; empty: none is needed; None: none was found.")
    label: str = Field(description="The changes in words.")
    steps: list[FitStep]


def verdict(memory: MemoryEstimate, free: int | None) -> Verdict | None:
    """Whether the run fits: for sure, perhaps, or not."""
    if free is None:
        return None
    if memory.total > free:
        return "does_not_fit"
    return "fits" if memory.high <= free else "tight"
