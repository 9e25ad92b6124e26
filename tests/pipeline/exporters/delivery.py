"""What the tests of destinations share: files to deliver, and child processes that deliver them."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PROJECT = Path(__file__).parents[3]


@dataclass
class Outcome:
    """What a delivery ended with: an address, or the sentence of an error."""

    address: str = ""
    error: str = ""
    text: str = ""
    told: list[list[int]] = field(default_factory=list)


class Child:
    """A process that delivers, with `environment` added to this one's; a context manager.

    It writes what is neither an answer nor an announcement to `log`.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.pipeline.exporters.deliver_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=PROJECT,
                env={**kept, "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", "HOME": "/nowhere", **environment},
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def deliver(self, folder: Path, destination: str, **options: Any) -> Outcome:
        """Deliver every file below the folder."""
        self.begin(folder, destination, **options)
        return Outcome(**self.next_line())

    def begin(
        self,
        folder: Path,
        destination: str,
        *,
        private: bool = True,
        announces: bool = False,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Send a delivery off without waiting for its end. `sizes` is what is claimed instead of true sizes."""
        claimed = {} if sizes is None else sizes
        files = {
            path: (str(folder / path), claimed.get(path, len(content)), hashlib.sha256(content).hexdigest())
            for path, content in contents(folder).items()
        }
        call = {"files": files, "destination": destination, "private": private, "announces": announces}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()

    def next_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait(timeout=30)}: {self.log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_export(folder: Path, *, large_bytes: int = 3_000_000) -> Path:
    """A folder as an export leaves it: a manifest, a card, and weights of random bytes in a folder of their own."""
    card = "---\nlicense: apache-2.0\n---\n# A model\n"
    files = {
        "manifest.json": b'{"files": []}',
        "README.md": card.encode(),
        "merged/config.json": b'{"model_type": "gemma3_text"}',
        "merged/model.safetensors": os.urandom(large_bytes),
        "empty.txt": b"",
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder
