"""Clocks for the steps of a training loop; none of them makes a GPU wait."""

import time
from array import array
from collections import deque
from collections.abc import Sequence

import torch


class WallClock:
    """Seconds of each step as this process sees them."""

    def __init__(self) -> None:
        self._seconds = array("d")
        self._began = 0.0

    def begin(self) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """The step has ended."""
        self._seconds.append(time.perf_counter() - self._began)

    def seconds(self) -> Sequence[float]:
        """Of every step so far."""
        return self._seconds


class GpuClock:
    """Seconds of each step on the GPU's own time line, which runs behind this process."""

    def __init__(self) -> None:
        self._seconds = array("d")
        self._began: torch.cuda.Event | None = None
        self._pending: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    def begin(self) -> None:
        """A step begins when the GPU has done what it was given before."""
        self._began = _mark()

    def end(self) -> None:
        """The step ends when the GPU has done what it was given until now."""
        if self._began is None:
            raise RuntimeError("a step ended that had not begun")
        self._pending.append((self._began, _mark()))
        while self._pending and self._pending[0][1].query():
            self._take()

    def seconds(self) -> Sequence[float]:
        """Of every step so far. Waits for the GPU, so to be asked after the last step."""
        while self._pending:
            self._pending[0][1].synchronize()
            self._take()
        return self._seconds

    def _take(self) -> None:
        began, ended = self._pending.popleft()
        self._seconds.append(began.elapsed_time(ended) / 1000)


def _mark() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
