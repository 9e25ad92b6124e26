"""What a run took, measured while it ran: memory at its peak, and the seconds of an optimiser step."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# The first steps of a run also take what later ones reuse: memory, tuned kernels, caches.
WARM_UP_STEPS = 2


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GpuMemory(_Document):
    """Bytes of a GPU's memory at the peak of the training loop."""

    kind: Literal["gpu"] = "gpu"
    allocated: int = Field(description="Of live tensors.")
    reserved: int = Field(description="That PyTorch's allocator held for tensors.")
    outside: int | None = Field(description="That the process held besides; None where the driver does not tell.")

    @property
    def peak(self) -> int:
        """All that is known of what the run took."""
        return self.reserved + (0 if self.outside is None else self.outside)


class ProcessMemory(_Document):
    """Bytes of this machine's memory, above what the process held before the model was loaded."""

    kind: Literal["process"] = "process"
    peak: int = Field(description="The most that was held at once.")
    since: Literal["training", "start"] = Field(
        description="Begin of the time that the peak is of: the training loop, or the process, loading included."
    )


class Measurements(_Document):
    """What the training loop of a run took on its device."""

    device: str = Field(description="What the device is, in the words of estimates.")
    memory: Annotated[GpuMemory | ProcessMemory, Field(discriminator="kind")] | None = Field(
        description="None on a device whose memory cannot be watched."
    )
    step_seconds: float | None = Field(
        description="Median over the optimiser steps, without evaluations, saving and logging; None without a step."
    )
    steps: int = Field(description="Optimiser steps that ran; the first two do not count where there are more.")
    tokens_per_second: float | None = Field(
        description="Real tokens, without padding, in the time of the steps; None where the method counts none."
    )

    @property
    def is_warm(self) -> bool:
        """Whether the seconds are of steps after the first ones."""
        return self.steps > WARM_UP_STEPS
