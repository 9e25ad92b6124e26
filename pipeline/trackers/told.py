"""Told: how far into a run's events a tracker is, kept beside its files, so that no attempt tells a value twice."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

# One record of fixed length, written over the one before in a single call: it is never half of each.
_RECORD_BYTES = 128


@dataclass
class Told:
    """The byte of the event file up to which a tracker was told, and the last steps whose values it has."""

    offset: int = 0
    step: int = -1
    evaluated_step: int = -1
    scored_step: int = -1


class ToldFile:
    """A tracker's place on disk. Only one process has it at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        data = os.pread(descriptor, _RECORD_BYTES, 0)
        self.told = Told(**json.loads(data)) if data else Told()

    def save(self) -> None:
        """Write the place down."""
        os.pwrite(self._descriptor, json.dumps(asdict(self.told)).ljust(_RECORD_BYTES).encode(), 0)


@contextmanager
def open_told(path: Path) -> Iterator[ToldFile]:
    """The place kept at `path`. Waits for the process of an earlier attempt, which may still be sending."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield ToldFile(descriptor)
    finally:
        os.close(descriptor)
