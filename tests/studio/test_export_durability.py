"""Exports whose process dies, whose disk is too small, or whose destination is gone: nothing half is ever listed."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import jobs
from db.models import Job
from db.states import RESTING, JobState
from pipeline.errors import StorageFailed
from pipeline.export_config import ExportJobConfig
from pipeline.export_job import ExportJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from studio.export_view import export_view
from studio.service import Studio
from tests.documents import DEMO_MODEL
from tests.pipeline.exporters.families import train_adapter
from tests.services import open_studio, tick_until

OWNER = "ana"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_adapter(DEMO_MODEL, tmp_path_factory.mktemp("adapter") / "stones")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "home") as opened:
        yield opened


def start(studio: Studio, adapter: Path, **settings: object) -> Job:
    return studio.exports.start(None, {"source": str(adapter), **settings}, owner=OWNER)


def wait_until_working(studio: Studio, job: Job) -> Job:
    """The job once its process has begun with a file."""
    deadline = time.monotonic() + 60
    folder = studio.settings.runs / job.job_id
    while time.monotonic() < deadline:
        studio.scheduler.tick()
        if any(folder.glob("*.partial")):
            with studio.database.read() as session:
                return jobs.get_job(session, job.id)
        time.sleep(0.05)
    raise AssertionError("the export has not begun")


def test_killed_export_lists_nothing_and_starts_again(studio: Studio, adapter: Path) -> None:
    job = wait_until_working(studio, start(studio, adapter, formats=["merged"]))
    assert job.pid is not None
    os.killpg(job.pid, signal.SIGKILL)
    ended = tick_until(studio, job, *RESTING)
    assert ended.state == JobState.INTERRUPTED
    shown = export_view(ended, studio.artifacts(ended), studio.run_dir(ended))
    assert (shown["artifacts"], shown["parity"], shown["commands"]) == ([], {}, [])
    studio.exports.retry(ended.job_id, owner=OWNER)
    again = tick_until(studio, job, *RESTING)
    assert again.state == JobState.COMPLETED, again.error_message
    folder = studio.run_dir(again).path
    assert not any(folder.glob("*.partial"))
    assert {artifact.kind for artifact in studio.artifacts(again)} == {"merged", "card"}


def test_what_was_proven_is_not_made_again(studio: Studio, adapter: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.write_text("a file where a folder should be", encoding="utf-8")
    job = start(studio, adapter, formats=["merged"], destinations=[str(target)])
    ended = tick_until(studio, job, *RESTING)
    assert (ended.state, ended.error_code) == (JobState.FAILED, "not_delivered")
    assert "The files are made and proven, and stay here." in str(ended.error_message)
    weights = studio.run_dir(ended).path / "merged" / "model.safetensors"
    made = weights.stat().st_mtime_ns
    # The files are there, and can be had.
    assert {artifact.kind for artifact in studio.artifacts(ended)} == {"merged", "card"}
    target.unlink()
    studio.exports.retry(ended.job_id, owner=OWNER)
    again = tick_until(studio, job, *RESTING)
    assert again.state == JobState.COMPLETED, again.error_message
    assert weights.stat().st_mtime_ns == made
    assert (target / "model.safetensors").read_bytes() == weights.read_bytes()
    assert json.loads((target / "manifest.json").read_text("utf-8"))["parity"]["merged"]["checks"]


def test_cancelled_export_leaves_nothing_listed(studio: Studio, adapter: Path) -> None:
    job = wait_until_working(studio, start(studio, adapter, formats=["merged"]))
    studio.cancel(job.job_id, owner=OWNER)
    ended = tick_until(studio, job, *RESTING)
    assert ended.state == JobState.CANCELLED
    assert studio.artifacts(ended) == []


def test_disk_that_is_too_small_is_refused_before_a_byte_is_written(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExportJobConfig(source=str(adapter), formats=("merged", "gguf"), quantizations=("f16", "q4_k_m"))
    run_dir = RunDir(tmp_path / "export")
    run_dir.create(config)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    told = r"Exporting my-model needs 0\.\d GB more at .*0\.0 GB can be used"
    with pytest.raises(StorageFailed, match=told), JobTracker(run_dir) as tracker:
        ExportJob(config, run_dir, tracker).run()
    assert {file.name for file in run_dir.path.iterdir()} == {"config.json", "events.jsonl"}
