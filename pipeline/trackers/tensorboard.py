"""TensorBoard: event files below the run folder."""

import json
import time as clock
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from pipeline.trackers import TrackedRun, TrackerFailed
from pipeline.trackers.document import shown_settings


class TensorboardTracker:
    """Writes scalars as 32-bit floats, and what is known about the run as text."""

    def __init__(self, writer: EventFileWriter) -> None:
        self._writer = writer

    def log(self, values: Mapping[str, float], *, step: int, time: float) -> None:
        """Write the values of a step."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time, step=step, summary=Summary(value=scalars)))

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Write what is known as a block of JSON."""
        block = "\n".join(f"    {line}" for line in json.dumps(facts, indent=2, ensure_ascii=False).splitlines())
        self._writer.add_event(Event(wall_time=clock.time(), step=0, summary=text_pb("run", block)))

    def flush(self) -> None:
        """Write everything to disk."""
        self._writer.flush()

    def finish(self, *, completed: bool) -> None:
        """Close the file. It has no place for how the run ended."""
        self._writer.close()


def open_tracker(run: TrackedRun) -> TensorboardTracker:
    """A new event file beside those of earlier attempts."""
    folder = run.folder / "tensorboard"
    try:
        tracker = TensorboardTracker(EventFileWriter(str(folder)))
        tracker.describe({"name": run.config.name, **shown_settings(run.config)})
        tracker.flush()
    except OSError as error:
        raise TrackerFailed(
            f"{folder} cannot be written: {error.strerror}. Make it a folder that may be written."
        ) from error
    return tracker
