"""TrackerProcesses: starts the chosen trackers of a run, hears what they have to say, and ends them in bounded time."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from pipeline.config import FineTuneJobConfig
from pipeline.events import Event, TrackerLinked, WarningRaised
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.trackers import TRACKERS, TrackerFailed, chosen_trackers, missing_tracker_package
from pipeline.trackers.child import TrackerChild

logger = logging.getLogger(__name__)

_SHORTEST_WAIT_SECONDS = 0.1


class TrackerProcesses:
    """Context manager around a run. Nothing that goes wrong with a tracker is raised; it is one warning of the run."""

    def __init__(self, run_dir: RunDir, environment: Mapping[str, str]) -> None:
        self.run_dir = run_dir
        self.environment = environment
        self._children: list[TrackerChild] = []
        self._failed: set[str] = set()
        self._wait_seconds = 0.0
        self._job: JobTracker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end_all()
        finally:
            for child in self._children:
                child.release()

    def start(self, config: FineTuneJobConfig, job: JobTracker) -> None:
        """Start the trackers that `config` chooses; `job` records what they report."""
        self._job, self._wait_seconds = job, float(config.tracking.wait_seconds)
        for name in chosen_trackers(config.tracking):
            with self._harmless(name):
                if install := missing_tracker_package(name):
                    self._warn(name, f"It is not installed. Install it with: {install}")
                else:
                    self._children.append(TrackerChild(name, self.run_dir, self.environment))

    def hear(self, event: Event) -> None:
        """Record what the trackers reported. A listener of the run: `event` itself they read from its folder."""
        for child in self._children:
            self._take_reports(child)

    def _take_reports(self, child: TrackerChild, *, wait_seconds: float = 0.0) -> bool:
        """Record what `child` reported. Returns whether it has closed its pipe."""
        is_closed = True
        with self._harmless(child.name):
            # A report is recorded, and recording it is an event to hear: what was read is out of the pipe by then.
            events, is_closed = child.read_events(wait_seconds=wait_seconds)
            for event in events:
                self._record(child, event)
        return is_closed

    def _record(self, child: TrackerChild, event: Event) -> None:
        if self._job is None:
            return
        match event:
            case WarningRaised():
                if event.code == TrackerFailed.code:
                    self._failed.add(child.name)
                self._job.warn(event.code, event.message)
            case TrackerLinked():
                self._job.record(event)

    def _end_all(self) -> None:
        deadline = time.monotonic() + self._wait_seconds
        for child in self._children:
            with self._harmless(child.name):
                child.say_that_the_run_ended()
        for child in self._children:
            with self._harmless(child.name):
                self._end(child, deadline)

    def _end(self, child: TrackerChild, deadline: float) -> None:
        while not self._take_reports(child, wait_seconds=max(0.0, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                self._warn(
                    child.name,
                    f"It was not done {self._wait_seconds:.0f} seconds after the run had ended and was stopped. "
                    "Set tracking.wait_seconds higher if its server is slow.",
                )
                return
        status = child.wait(max(_SHORTEST_WAIT_SECONDS, deadline - time.monotonic()))
        if status != 0:
            self._warn(child.name, f"Its process ended with exit code {status}; {child.log_file} has its last words.")

    def _warn(self, name: str, reason: str) -> None:
        if self._job is not None and name not in self._failed:
            self._failed.add(name)
            title = TRACKERS[name].title
            self._job.warn(TrackerFailed.code, f"{title} gets no more values of this run; the run goes on. {reason}")

    @contextmanager
    def _harmless(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            logger.exception("tracker %s", name)
            try:
                self._warn(name, f"{type(error).__name__}: {error}.")
            except OSError:
                logger.exception("the failure of tracker %s cannot be recorded", name)
