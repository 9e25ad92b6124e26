"""A studio without a web server; its scheduler ticks only when a test says so."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db import jobs
from db.models import Dataset, Job
from db.states import RESTING, JobState
from studio.application import build_studio
from studio.service import Studio
from studio.settings import Settings, prepare_home
from tests.estimates import write_rates

TICK_SECONDS = 0.1


def make_studio(settings: Settings) -> Studio:
    """A studio on a migrated database below the settings' home."""
    prepare_home(settings)
    passed = ("HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT")
    return build_studio(settings, {name: os.environ[name] for name in passed if name in os.environ})


@contextmanager
def open_studio(home: Path, *, host: str = "127.0.0.1", space_flavor: str | None = None) -> Iterator[Studio]:
    """A studio in `home`, with its children ended when the block ends."""
    write_rates(home)
    database = f"sqlite:///{home / 'lapidary.db'}"
    studio = make_studio(Settings(home=home, database_url=database, host=host, space_flavor=space_flavor))
    try:
        yield studio
    finally:
        studio.trials.close()
        studio.registry.databench.close()
        studio.workbench.close()
        studio.estimator.close()
        studio.database.close()


def tick_until(studio: Studio, job: Job, *states: JobState, seconds: float = 90) -> Job:
    """The job as soon as it is in one of `states`; the scheduler ticks meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        studio.scheduler.tick()
        with studio.database.read() as session:
            stored = jobs.get_job(session, job.id)
        if stored.state in states:
            return stored
        time.sleep(TICK_SECONDS)
    raise AssertionError(f"{stored.state} after {seconds} s: {stored.error_message}")


def import_file(studio: Studio, file: Path, *, owner: str = "ana", **options: object) -> Dataset:
    """The data set that a file becomes."""
    job = studio.registry.import_source({"source": str(file), **options}, owner=owner)
    ended = tick_until(studio, job, *RESTING, seconds=60)
    assert ended.state == JobState.COMPLETED, ended.error_message
    return studio.registry.dataset(ended.facts["dataset_id"], owner=owner)
