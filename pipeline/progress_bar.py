"""ProgressBar: draws a run's events on the terminal."""

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

from pipeline.events import (
    EvaluationFinished,
    Event,
    ScoresComputed,
    StageStarted,
    StepLogged,
    TrackerLinked,
    WarningRaised,
)


class ProgressBar:
    """Context manager; `show` takes the events of one run in their order and writes to standard error."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None  # type: ignore[type-arg]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case StageStarted(stage="training", message=message):
                self._write(message)
            case StageStarted(message=message):
                self._write(message)
            case StepLogged():
                self._step(event)
            case EvaluationFinished(metrics=metrics):
                self._write("Held-out rows: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
            case ScoresComputed(rows=rows, base=base, tuned=tuned):
                changes = ", ".join(f"{name} {base[name]:.1f} → {tuned[name]:.1f}" for name in tuned)
                self._write(f"Base → tuned on {rows:,} held-out rows: {changes}")
            case TrackerLinked(tracker=tracker, url=url):
                self._write(f"{tracker}: {url}")
            case WarningRaised(message=message):
                self._write(f"Warning: {message}")

    def _step(self, event: StepLogged) -> None:
        if self._bar is None:
            self._bar = tqdm(total=event.total_steps, unit="step", dynamic_ncols=True)
        self._bar.set_postfix_str(
            f"loss {event.metrics['loss']:.4f}, {event.metrics['tokens_per_second']:.0f} tok/s", refresh=False
        )
        self._bar.update(event.step - self._bar.n)

    def _write(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr if self._bar is None else self._bar.fp)
