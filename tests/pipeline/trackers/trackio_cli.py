"""The program of Trackio, which reads back what is stored."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def trackio(*arguments: str, folder: Path) -> Any:
    """What the program of the library prints."""
    code = "from trackio.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "TRACKIO_DIR": str(folder)},
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def trackio_curve(name: str, *, project: str, run: str, folder: Path) -> list[tuple[int, float]]:
    """The points of a curve over its step."""
    found = trackio("get", "metric", "--project", project, "--run", run, "--metric", name, folder=folder)
    return [(point["step"], point["value"]) for point in found["values"]]
