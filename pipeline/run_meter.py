"""RunMeter: measures what a training loop takes, for next to nothing: memory at its peak and seconds a step."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline.device_name import device_name
from pipeline.devices import THIS_COMPUTER
from pipeline.measurements import WARM_UP_STEPS, GpuMemory, Measurements, ProcessMemory
from pipeline.memory_gauges import GpuGauge, ProcessGauge
from pipeline.step_clocks import GpuClock, WallClock


class RunMeter(TrainerCallback):
    """Measures one run. It is made before the model is loaded, and is the last of the trainer's callbacks."""

    def __init__(self) -> None:
        self._process = ProcessGauge()
        self._gauge: ProcessGauge | GpuGauge | None = None
        self._clock: WallClock | GpuClock = WallClock()
        self._memory: GpuMemory | ProcessMemory | None = None
        self._device = ""
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget what loading took."""
        on_cpu = args.device.type == "cpu"
        self._device = THIS_COMPUTER if on_cpu else device_name(args.device)
        self._first_step = state.global_step
        match args.device.type:
            case "cuda":
                self._gauge, self._clock = GpuGauge(args.device), GpuClock()
            case "cpu":
                self._gauge = self._process
        if self._gauge is not None:
            self._gauge.forget_peak()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock; the batches of the step are there."""
        self._clock.begin()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop the clock before anything is logged, evaluated or saved."""
        self._clock.end()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read the memory. The end of training would be too late: the best weights are loaded before it."""
        self._read()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Read the memory."""
        self._read()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Read the memory."""
        self._read()

    def measured(self, history: Sequence[Mapping[str, float]]) -> Measurements:
        """What the loop took, after it has ended. `history` is what the trainer has logged, of earlier attempts too."""
        every = self._clock.seconds()
        seconds = every[WARM_UP_STEPS:] if len(every) > WARM_UP_STEPS else every
        tokens = tokens_per_step(history, since=self._first_step)
        return Measurements(
            device=self._device,
            memory=self._memory,
            step_seconds=statistics.median(seconds) if seconds else None,
            steps=len(every),
            tokens_per_second=tokens / statistics.fmean(seconds) if seconds and tokens is not None else None,
        )

    def _read(self) -> None:
        if self._gauge is not None:
            self._memory = self._gauge.read()


def tokens_per_step(history: Sequence[Mapping[str, float]], *, since: int) -> float | None:
    """Mean tokens of the steps after `since`, from the counts that were logged; None where there are none."""
    counts = {0: 0.0} | {int(entry["step"]): entry["num_tokens"] for entry in history if "num_tokens" in entry}
    begin, end = max(step for step in counts if step <= since), max(counts)
    return (counts[end] - counts[begin]) / (end - begin) if end > begin else None
