"""The smokebench process: tries the longest batch of a run for the studio, and ends with it.

in   {"id", "op": "smoke", "config": {…}, "folder"}       the job document, and a folder to work in, deleted afterwards
out  {"id", "event": "progress", "stage", "share": 0–1, "message"}*   then   {"id", "event": "done", "report": {…}}
     or {"id", "event": "error", "code", "message"}
"""

import os
import select
import signal
import sys
import threading
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.config import FineTuneJobConfig
from pipeline.events import Event, StageStarted
from pipeline.line_server import LineServer, QuitRequest, Send, serve_standard_streams
from pipeline.smoke import try_longest_batch
from pipeline.smoke_report import SmokeProgress


class SmokeRequest(BaseModel):
    """Try the run of this document."""

    model_config = ConfigDict(extra="forbid")
    op: Literal["smoke"]
    id: str | int
    config: FineTuneJobConfig
    folder: Path


Request = Annotated[SmokeRequest | QuitRequest, Field(discriminator="op")]
_REQUEST: TypeAdapter[SmokeRequest | QuitRequest] = TypeAdapter(Request)


def serve() -> int:
    """Answer standard input on standard output."""
    return serve_standard_streams(lambda send: LineServer(send, _REQUEST, _answer))


def _answer(request: SmokeRequest, send: Send) -> dict[str, Any]:
    threading.Thread(target=_end_with_input, args=(request.folder,), daemon=True).start()

    def tell(event: Event) -> None:
        if isinstance(event, StageStarted):
            progress = SmokeProgress(stage=event.stage, share=event.progress, message=event.message)
            send({"event": "progress", **progress.model_dump(mode="json")})

    report = try_longest_batch(request.config, request.folder, listener=tell)
    return {"report": report.model_dump(mode="json")}


def _end_with_input(folder: Path) -> None:
    """Wait until nobody can write to standard input any more, which is so when the studio has ended, and end too."""
    waiting = select.poll()
    waiting.register(sys.stdin.fileno(), 0)
    waiting.poll()
    rmtree(folder, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        # The group is this process and those that it has started.
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
