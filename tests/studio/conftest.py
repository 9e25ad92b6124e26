"""One studio for the tests of a module: real server, real children."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import StudioProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    home = tmp_path_factory.mktemp("studio")
    server = StudioProcess(home, environment={"HF_HUB_OFFLINE": "1", "HOME": str(home)})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pids_of() -> object:
    """The processes whose environment names a run folder, by id."""

    def find(folder: Path) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if str(folder) in (entry / "cmdline").read_bytes().decode().split("\0"):
                        found.append(int(entry.name))
                except (OSError, UnicodeDecodeError):
                    continue
        return found

    return find
