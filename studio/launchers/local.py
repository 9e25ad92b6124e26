"""LocalLauncher: a job's process as a child on this machine, in a session of its own; it outlives the studio."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from pipeline.run_dir import RunDir
from studio.launchers import Exit, ProcessIdentity
from studio.settings import PROJECT

NONCE_VARIABLE = "LAPIDARY_NONCE"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# psutil derives the start time from the boot time, which moves when the clock is set.
_START_TIME_TOLERANCE_SECONDS = 2.0


class LocalLauncher:
    """Child processes of this machine. Keeps handles only to learn exit codes; everything else is found by identity."""

    def __init__(self, base_environment: Mapping[str, str]) -> None:
        self._base_environment = dict(base_environment)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, run_dir: RunDir, *, environment: Mapping[str, str], nonce: str) -> ProcessIdentity:
        """Start the process; its output goes to the run's log file, its secrets only into its environment."""
        search_path = [str(PROJECT), *self._base_environment.get("PYTHONPATH", "").split(os.pathsep)]
        variables = {
            **self._base_environment,
            **environment,
            NONCE_VARIABLE: nonce,
            "PYTHONPATH": os.pathsep.join(part for part in search_path if part),
            "PYTHONUNBUFFERED": "1",
        }
        with run_dir.log_file.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "pipeline", "run", str(run_dir.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=run_dir.path,
                env=variables,
            )
        self._children[process.pid] = process
        return ProcessIdentity(process.pid, psutil.Process(process.pid).create_time(), boot_id(), nonce)

    def poll(self, identity: ProcessIdentity) -> Exit | None:
        """None while the process lives. A process adopted from an earlier studio leaves no exit code."""
        if child := self._children.get(identity.pid):
            code = child.poll()
            if code is None:
                return None
            del self._children[identity.pid]
            return Exit(code)
        return None if _is_alive(identity) else Exit(None)

    def terminate(self, identity: ProcessIdentity) -> None:
        """SIGTERM to the process group."""
        self._signal_group(identity, signal.SIGTERM)

    def kill(self, identity: ProcessIdentity) -> None:
        """SIGKILL to the process group."""
        self._signal_group(identity, signal.SIGKILL)

    def _signal_group(self, identity: ProcessIdentity, number: signal.Signals) -> None:
        if identity.pid in self._children or _is_alive(identity):
            try:
                os.killpg(identity.pid, number)
            except ProcessLookupError:
                return


def boot_id() -> str:
    """The kernel's id of this boot; empty where there is none."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""


def _is_alive(identity: ProcessIdentity) -> bool:
    if boot_id() != identity.boot_id:
        return False
    try:
        process = psutil.Process(identity.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        same_start = abs(process.create_time() - identity.started) < _START_TIME_TOLERANCE_SECONDS
        return same_start and process.environ()[NONCE_VARIABLE] == identity.nonce
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError):
        return False
