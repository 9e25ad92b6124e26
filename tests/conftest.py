"""Every test gets a home folder of its own, and an environment without the user's settings."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.estimates import write_rates

# Several workers share the processor, and OpenMP programs with as many threads each wait for one another. torch reads
# it when it is imported, in this process and in those that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_USERS_SETTINGS = ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "DATABASE_URL", "WANDB_API_KEY")


@pytest.fixture(scope="session")
def rates_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speed of some processor, as it would have been measured."""
    return write_rates(tmp_path_factory.mktemp("rates"))


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test reads or writes the user's home, caches or tokens."""
    for name in list(os.environ):
        if name in _USERS_SETTINGS or name.startswith(("LAPIDARY_", "GRADIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LAPIDARY_HOME", str(tmp_path / "lapidary"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
