"""Ways to start a job's process. A launcher is a module with a class that follows `Launcher`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.run_dir import RunDir


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from a later one with the same pid by its start time, its boot and a nonce."""

    pid: int
    started: float
    boot_id: str
    nonce: str


@dataclass(frozen=True)
class Exit:
    """How a process ended; the code is None where nobody could wait for it, negative for a signal."""

    code: int | None


class Launcher(Protocol):
    """Starts, watches and ends the processes of jobs."""

    def start(self, run_dir: RunDir, *, environment: Mapping[str, str], nonce: str) -> ProcessIdentity:
        """Start `python -m pipeline run` on the run folder. Raises OSError when it cannot."""

    def poll(self, identity: ProcessIdentity) -> Exit | None:
        """None while the process lives, else how it ended."""

    def terminate(self, identity: ProcessIdentity) -> None:
        """Ask the process and all its children to end."""

    def kill(self, identity: ProcessIdentity) -> None:
        """End the process and all its children now."""
