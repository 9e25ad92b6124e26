"""Workbench: one child process that holds a model and answers prompts; ended when idle, so that it frees its memory."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import UserError
from studio.settings import PROJECT

IDLE_SECONDS = 300.0


class Prompt(BaseModel):
    """What is asked, and how the answer is drawn. A temperature of 0 is greedy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_model: str
    adapter: str | None
    side: Literal["base", "tuned"]
    messages: list[dict[str, str]]
    max_new_tokens: int = Field(256, ge=1, le=8192)
    temperature: float = Field(0.0, ge=0, le=5)
    seed: int = 0


class AnswerFailed(UserError):
    """The model could not answer."""

    code = "answer_failed"


class Workbench:
    """Talks JSON lines to `python -m pipeline workbench`. One prompt at a time; others wait."""

    def __init__(self, environment: Mapping[str, str], *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._environment = dict(environment)
        self._idle_seconds = idle_seconds
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._numbers = count(1)
        self._used = time.monotonic()

    def answer(self, prompt: Prompt) -> Iterator[str]:
        """Pieces of the answer as they come.

        Raises:
            AnswerFailed: the model cannot be loaded, or the process died.
        """
        with self._turn:
            process = self._ensure_process()
            request = {"id": next(self._numbers), "op": "generate", **prompt.model_dump()}
            try:
                yield from self._converse(process, request)
            except (GeneratorExit, OSError, ValueError):
                # Half an answer is still on its way: a fresh process is simpler than draining this one.
                self._end()
                raise
            finally:
                self._used = time.monotonic()

    def close_if_idle(self) -> None:
        """End the process when nobody has asked anything for a while."""
        if time.monotonic() - self._used > self._idle_seconds and self._turn.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._turn.release()

    def close(self) -> None:
        """End the process."""
        self._end()

    def _converse(self, process: "subprocess.Popen[str]", request: dict[str, Any]) -> Iterator[str]:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the workbench has no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            reply = json.loads(line)
            if reply["id"] != request["id"]:
                continue
            match reply["event"]:
                case "token":
                    yield reply["text"]
                case "done":
                    return
                case "error":
                    raise AnswerFailed(reply["message"])
        self._end()
        raise AnswerFailed("The process that answers has ended, most likely for lack of memory. Try a smaller model.")

    def _ensure_process(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            search_path = [str(PROJECT), *self._environment.get("PYTHONPATH", "").split(os.pathsep)]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "pipeline", "workbench"],
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
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
