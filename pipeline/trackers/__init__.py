"""What a tracker is, and which there are: each in a module of its name, in a process of its own.

The process of a tracker reads the run's events from its folder. Nothing that happens in it, be it a crash, a full
queue or a network that hangs, can reach the process that trains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipeline.errors import UserError
from pipeline.events import Event

if TYPE_CHECKING:
    from pipeline.config import FineTuneJobConfig
    from pipeline.training_config import TrackingConfig


@dataclass(frozen=True)
class TrackerKind:
    """What is known about a tracker before its library is imported."""

    title: str
    """Its name as people write it."""
    requirement: str
    """The version that its module was written for, as pip takes it."""
    variables: tuple[str, ...] = ()
    """Variables of the environment that its process is given, besides those that every process needs."""


TRACKERS: dict[str, TrackerKind] = {
    "wandb": TrackerKind(
        "Weights & Biases",
        "wandb==0.31.0",
        (
            *("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY"),
            *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        ),
    ),
    "trackio": TrackerKind("Trackio", "trackio==0.43.0", ("TRACKIO_DIR",)),
    "tensorboard": TrackerKind("TensorBoard", "tensorboard==2.21.0"),
}
"""The trackers by the name of their switch in `TrackingConfig` and of their module."""


class TrackerFailed(UserError):
    """A tracker cannot take the values of the run; the text says why and what to do."""

    code = "tracker_failed"


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about the run when it is opened."""

    config: "FineTuneJobConfig"
    run_id: str
    """The same for every attempt at this run, and for no other run."""
    folder: Path
    """Where trackers keep their files, below the run folder."""
    report: Callable[[Event], None]
    """Takes an event that is to be recorded."""


class Tracker(Protocol):
    """Takes the values of one run. Any exception ends it; the run goes on."""

    def log(self, values: Mapping[str, float], *, step: int, time: float) -> None:
        """Take values of an optimiser step. `time`: seconds since the epoch at which they were measured."""

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Take what became known about the run, as its number of parameters or of rows."""

    def flush(self) -> None:
        """Return when everything taken so far would outlive this process."""

    def finish(self, *, completed: bool) -> None:
        """Say how the run ended and let go of everything."""


class TrackerModule(Protocol):
    """The module of a tracker."""

    def open_tracker(self, run: TrackedRun) -> Tracker:
        """The tracker, ready to take values.

        Raises:
            TrackerFailed: it cannot be used; the text says why and what to do.
        """


def tracker_module(name: str) -> TrackerModule:
    """The module of this name; its library is imported with it."""
    return cast(TrackerModule, import_module(f"pipeline.trackers.{name}"))


def chosen_trackers(config: "TrackingConfig") -> list[str]:
    """Names of the trackers that are switched on."""
    switches = {"wandb": config.wandb, "trackio": config.trackio, "tensorboard": config.tensorboard}
    return [name for name in TRACKERS if switches[name]]


def missing_tracker_package(name: str) -> str | None:
    """The command that installs the library of this tracker; None where it is installed. Imports nothing."""
    return None if find_spec(name) is not None else f'pip install "{TRACKERS[name].requirement}"'
