"""Trackio: a SQLite file a project in $TRACKIO_DIR, by default $LAPIDARY_HOME/trackio. Nothing leaves the machine."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.trackers import TrackedRun, TrackerFailed
from pipeline.trackers.document import shown_settings

_NAME_SUFFIX = 6


class TrackioTracker:
    """Writes through trackio's storage: its `init` asks the Hub for the user and hides failures in a thread."""

    def __init__(self, storage: Any, *, project: str, name: str, run_id: str, config: dict[str, Any]) -> None:
        self._storage = storage
        self._project, self._name, self._run_id = project, name, run_id
        self._config = config
        self._is_config_new = True
        self._rows: list[tuple[dict[str, float], int, str]] = []

    def log(self, values: Mapping[str, float], *, step: int, time: float) -> None:
        """Keep the values of a step for the next flush."""
        self._rows.append((dict(values), step, datetime.fromtimestamp(time, UTC).isoformat()))

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Add to the settings that are shown beside the curves; they are stored with the next values."""
        self._config = {**self._config, **facts}
        self._is_config_new = True

    def flush(self) -> None:
        """Store the values in one transaction."""
        if not self._rows:
            return
        values, steps, times = zip(*self._rows, strict=True)
        self._storage.bulk_log(
            project=self._project,
            run=self._name,
            run_id=self._run_id,
            metrics_list=list(values),
            steps=list(steps),
            timestamps=list(times),
            config=self._config if self._is_config_new else None,
        )
        self._rows, self._is_config_new = [], False

    def finish(self, *, completed: bool) -> None:
        """Store what is left. Trackio keeps no state of a run."""
        self.flush()


def open_tracker(run: TrackedRun) -> TrackioTracker:
    """The run in the local database of its project."""
    home = Path(os.environ.get("LAPIDARY_HOME", "~/.lapidary")).expanduser()
    # The library reads it once, when it is imported.
    os.environ.setdefault("TRACKIO_DIR", str(home / "trackio"))
    from trackio.sqlite_storage import SQLiteStorage

    project = run.config.tracking.project
    try:
        SQLiteStorage.validate_project_name(project)
        SQLiteStorage.init_db(project)
    except ValueError as error:
        raise TrackerFailed(f"{error} Change tracking.project.") from error
    except OSError as error:
        raise TrackerFailed(
            f"{os.environ['TRACKIO_DIR']} cannot be written: {error.strerror}. Set TRACKIO_DIR to a folder that can."
        ) from error
    # Its dashboard tells runs apart by their names, and a configuration may be run twice.
    name = f"{run.config.name}-{run.run_id[:_NAME_SUFFIX]}"
    return TrackioTracker(
        SQLiteStorage, project=project, name=name, run_id=run.run_id, config=shown_settings(run.config)
    )
