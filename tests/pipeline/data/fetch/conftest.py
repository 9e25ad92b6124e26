"""A Hub, a store and a web server of the tests' own, and child processes that fetch from them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tests.file_server import Answer, FileServer, SeenRequest
from tests.hub_server import HubServer
from tests.s3_server import S3Server

PROJECT = Path(__file__).parents[4]


@dataclass
class Outcome:
    """What a fetch ended with: files, or the sentence of an error."""

    files: list[tuple[Path, str, str]] = field(default_factory=list)
    source: str = ""
    revision: str | None = None
    error: str = ""
    text: str = ""
    told: list[tuple[int, int | None, str]] = field(default_factory=list)

    @property
    def contents(self) -> dict[tuple[str, str], bytes]:
        """The bytes of each file by split and name."""
        assert not self.error, self.text
        return {(split, name): path.read_bytes() for path, name, split in self.files}


class Child:
    """A process that fetches; a context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.pipeline.data.fetch.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env={**kept, "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", **environment},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def fetch(self, source: str, into: Path, **options: Any) -> Outcome:
        answer = self._call({"function": "fetch", "arguments": [source], "into": str(into), "options": options})
        files = [(Path(path), name, split) for path, name, split in answer.pop("files", [])]
        return Outcome(files=files, **{**answer, "told": [tuple(told) for told in answer["told"]]})

    def describe(self, repo_id: str, **options: Any) -> dict[str, Any]:
        return self._call({"function": "describe", "arguments": [repo_id], "options": options})

    def begin(self, source: str, into: Path, **options: Any) -> None:
        """Send a fetch off without waiting for its end; `next_line` has what it tells on its way."""
        self._send(
            {"function": "fetch", "arguments": [source], "into": str(into), "options": options, "announce": True}
        )

    def next_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait(timeout=30)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        self._send(call)
        return self.next_line()

    def _send(self, call: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()


@dataclass
class Site:
    """What a web server holds: files by path, and headers that come with them.

    It serves no ranges of the files in `plain`, and tells no length of those in `endless`.
    """

    files: dict[str, Path] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)

    def answer(self, request: SeenRequest) -> Answer:
        if request.path not in self.files:
            return Answer(b"gone", 404)
        headers = self.headers.get(request.path, {"ETag": '"one"'})
        return Answer(
            self.files[request.path],
            headers=headers,
            has_ranges=request.path not in self.plain,
            has_length=request.path not in self.endless,
        )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="module")
def child(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A process whose Hub is the tests' own."""
    with Child({"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path_factory.mktemp("hf")), "HOME": "/nowhere"}) as process:
        yield process


@pytest.fixture
def store(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "store") as server:
        yield server


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def web(site: Site) -> Iterator[FileServer]:
    with FileServer(site.answer) as server:
        yield server
