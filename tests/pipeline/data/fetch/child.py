"""Fetches in a process of its own, as an import does: a JSON line a call on its input, an answer on its output."""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.data.fetch import fetch
from pipeline.errors import UserError


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """Do one call. A user's error is an answer; a bug ends the process."""
    told: list[tuple[int, int | None, str]] = []

    def progress(done: int, total: int | None, what: str) -> None:
        told.append((done, total, what))
        if call.get("announce"):
            print(json.dumps({"told": [done, total, what]}), flush=True)  # noqa: T201 - the test reads it

    try:
        if call["function"] == "describe":
            from pipeline.data.fetch.hub import describe_hub_dataset

            return {"described": vars(describe_hub_dataset(*call["arguments"], **call["options"]))}
        fetched = fetch(*call["arguments"], into=Path(call["into"]), progress=progress, **call["options"])
    except UserError as error:
        return {"error": type(error).__name__, "text": str(error), "told": told}
    files = [(str(file.path), file.name, file.split) for file in fetched.files]
    return {"files": files, "source": fetched.source, "revision": fetched.revision, "told": told}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201 - the test reads it
