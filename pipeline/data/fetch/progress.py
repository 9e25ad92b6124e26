"""Tally: the bytes of several transfers as one count that never goes back."""

import threading
from collections.abc import Callable

# Bytes done, bytes in all or None where unknown, and a few words about what is being done.
Progress = Callable[[int, int | None, str], None]


class Tally:
    """Counts bytes from any thread and tells of them, one call at a time.

    The first call to `progress` tells what an earlier attempt left here, so that a rate can be computed.
    """

    def __init__(self, progress: Progress, *, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._done = self._told = 0
        self._lock = threading.Lock()

    def start(self, present: int, what: str) -> None:
        """Begin with the bytes that are here already."""
        with self._lock:
            self._done = present
            self._tell(what)

    def add(self, count: int, what: str) -> None:
        """Count bytes that have arrived."""
        with self._lock:
            self._done += count
            self._tell(what)

    def take_back(self, count: int) -> None:
        """Count bytes as not arrived, because a server begins again. What was told stays told."""
        with self._lock:
            self._done -= count

    def say(self, what: str) -> None:
        """Tell of something that moves no bytes."""
        with self._lock:
            self._tell(what)

    def part(self) -> Progress:
        """A progress whose bytes are counted here in addition; it counts from zero itself."""
        before = 0

        def progress(done: int, _: int | None, what: str) -> None:
            nonlocal before
            self.add(done - before, what)
            before = done

        return progress

    def _tell(self, what: str) -> None:
        self._told = max(self._told, self._done)
        if self._total is not None:
            self._told = min(self._told, self._total)
        self._progress(self._told, self._total, what)
