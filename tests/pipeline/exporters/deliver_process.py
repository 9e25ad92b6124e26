"""Delivers in a process of its own, as an export does: a JSON line a call on its input, answers on its output."""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.exporters.destinations import DeliveredFile, deliver
from pipeline.exporters.destinations.address import parse_destination


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """Do one call. A user's error is an answer; a bug ends the process."""
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if call["announces"]:
            print(json.dumps({"told": [done, total]}), flush=True)  # noqa: T201 - the test reads it

    files = {path: DeliveredFile(Path(source), size, sha256) for path, (source, size, sha256) in call["files"].items()}
    try:
        address = deliver(
            files,
            parse_destination(call["destination"]),
            private=call["private"],
            commit_message="Exported",
            progress=progress,
        )
    except UserError as error:
        return {"error": type(error).__name__, "text": str(error), "told": told}
    return {"address": address, "told": told}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201 - the test reads it
