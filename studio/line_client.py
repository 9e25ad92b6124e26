"""LineClient: asks a child process that answers JSON lines, starts it when needed, and ends it when idle."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from pipeline.errors import UserError
from studio.settings import PROJECT


class RequestFailed(UserError):
    """The child answered with an error, or died. `code` is the child's, or `process_ended`; then `exit_code` tells how,
    negative for a signal."""

    def __init__(self, message: str, *, code: str, field: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.code, self.field, self.exit_code = code, field, exit_code


class LineClient:
    """One child, `python -m pipeline COMMAND`. One request at a time; others wait."""

    def __init__(self, command: str, environment: Mapping[str, str], *, idle_seconds: float) -> None:
        self._command = command
        self._environment = dict(environment)
        self._idle_seconds = idle_seconds
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._numbers = count(1)
        self._used = time.monotonic()

    def ask(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The child's messages, the last of them its `done`.

        Raises:
            RequestFailed: the child answered with an error, or died.
        """
        with self._turn:
            process = self._ensure_process()
            number = next(self._numbers)
            finished = False
            try:
                for reply in self._converse(process, {"id": number, **request}):
                    finished = reply["event"] == "done"
                    yield reply
            except RequestFailed:
                finished = True
                raise
            except (OSError, ValueError):
                self._end()
                raise
            finally:
                # Half an answer is still on its way: a fresh process is simpler than draining this one.
                if not finished:
                    self._end()
                self._used = time.monotonic()

    def close_if_idle(self) -> None:
        """End the process when nobody has asked anything for a while."""
        if time.monotonic() - self._used > self._idle_seconds and self._turn.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._turn.release()

    def interrupt(self) -> None:
        """End the process while it answers; who waits for the answer is told that it has ended."""
        process = self._process
        if process is not None:
            _kill(process)

    def close(self) -> None:
        """End the process."""
        self._end()

    def _converse(self, process: "subprocess.Popen[str]", request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the child has no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            reply = json.loads(line)
            if reply["id"] != request["id"]:
                continue
            if reply["event"] == "error":
                raise RequestFailed(reply["message"], code=reply["code"], field=reply["field"])
            yield reply
            if reply["event"] == "done":
                return
        exit_code = process.wait()
        self._end()
        raise RequestFailed(
            "The process that answers has ended, most likely for lack of memory. Free some and try again.",
            code="process_ended",
            exit_code=exit_code,
        )

    def _ensure_process(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            search_path = [str(PROJECT), *self._environment.get("PYTHONPATH", "").split(os.pathsep)]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "pipeline", self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,
                env={**self._environment, "PYTHONPATH": os.pathsep.join(part for part in search_path if part)},
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a child and what it has started. It leads a session, and so a group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
