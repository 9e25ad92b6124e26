"""TrackerChild: the process of one tracker as the run sees it: given few variables, heard, and ended."""

import os
import secrets
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.events import Event, parse_event
from pipeline.run_dir import RunDir
from pipeline.trackers import TRACKERS

# What Python, its libraries and certificates need. Keys of the run, as HF_TOKEN, are no business of a tracker.
_PASSED_ON = (
    *("HOME", "LANG", "LAPIDARY_HOME", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "REQUESTS_CA_BUNDLE"),
    *("SSL_CERT_DIR", "SSL_CERT_FILE", "SYSTEM", "TMPDIR", "TZ"),
)
# Libraries ask the Hub who the user is; nobody named it.
_SET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
_PROJECT = Path(__file__).parents[2]
_READ_BYTES = 65536


class TrackerChild:
    """Starts the process; its output goes to `tracking/NAME.log` in the run folder.

    Raises:
        OSError: the folder cannot be written or the process not be started.
    """

    def __init__(self, name: str, run_dir: RunDir, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log_file = run_dir.tracking / f"{name}.log"
        run_dir.tracking.mkdir(mode=0o700, exist_ok=True)
        arguments = (name, str(run_dir.path.resolve()), _run_id(run_dir.tracking))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "pipeline.trackers", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=run_dir.tracking,
                env=tracker_environment(name, environment),
                bufsize=0,
            )
        self._unfinished_line = b""

    def read_events(self, *, wait_seconds: float = 0.0) -> tuple[list[Event], bool]:
        """Events that it reported since the last call, and whether it has closed its pipe.

        Waits for the first of them up to `wait_seconds`.
        """
        is_closed = False
        while select.select([self._output], [], [], wait_seconds)[0]:
            data = os.read(self._output, _READ_BYTES)
            if not data:
                is_closed = True
                break
            self._unfinished_line += data
            wait_seconds = 0.0
        *lines, self._unfinished_line = self._unfinished_line.split(b"\n")
        return [parse_event(line) for line in lines], is_closed

    def say_that_the_run_ended(self) -> None:
        """A byte, then the end of the pipe. After a failure nobody reads it."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")
            self._process.stdin.close()

    def wait(self, seconds: float) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def release(self) -> None:
        """End the process if it has not ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def _output(self) -> int:
        if self._process.stdout is None:
            raise ValueError("the process was started without a pipe")
        return self._process.stdout.fileno()


def tracker_environment(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the process of this tracker is given: what it needs of `environment`, and no other key."""
    passed_on = {key: environment[key] for key in (*_PASSED_ON, *TRACKERS[name].variables) if key in environment}
    search_path = [str(_PROJECT), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    return {**passed_on, **_SET, "PYTHONPATH": os.pathsep.join(part for part in search_path if part)}


def _run_id(folder: Path) -> str:
    """The id of the run of this folder. Random: a path may be that of another run on another machine."""
    file = folder / "run_id"
    if not file.exists():
        file.write_text(secrets.token_hex(8), encoding="ascii")
    return file.read_text(encoding="ascii")
