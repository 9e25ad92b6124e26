"""The scheduler, ticked by hand, with real children and real trouble."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import jobs
from db.models import Job
from db.states import JobState
from pipeline.errors import StorageFailed
from pipeline.run_dir import RunDir
from studio.datasets import import_file
from studio.death import explain_death
from studio.service import Studio
from studio.settings import Settings
from tests.documents import demo_document
from tests.services import make_studio

FULL_DISK = Path("/dev/full")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    home = tmp_path / "home"
    studio = make_studio(Settings(home=home, database_url=f"sqlite:///{home / 'lapidary.db'}"))
    yield studio
    studio.database.close()


def tick_until(studio: Studio, job: Job, *states: JobState, seconds: float = 90) -> Job:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        studio.scheduler.tick()
        stored = studio.job(job.id, owner="ana")
        if stored.state in states:
            return stored
        time.sleep(0.1)
    raise AssertionError(f"{stored.state} after {seconds} s: {stored.error_message}")


def test_full_disk_in_mid_run_is_explained(studio: Studio) -> None:
    job = studio.submit(demo_document(max_steps=2), owner="ana")
    folder = studio.run_dir(job).path
    folder.mkdir(parents=True)
    (folder / "result.json.partial").symlink_to(FULL_DISK)
    ended = tick_until(studio, job, JobState.INTERRUPTED, JobState.FAILED)
    assert ended.error_code == "disk_full"
    assert ended.error_message == "The disk is full. Free some space and start the run again."
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("exit_code", "log", "code"),
    [
        (28, "", "disk_full"),
        (1, "OSError: [Errno 28] No space left on device", "disk_full"),
        (1, "torch.OutOfMemoryError: CUDA out of memory.", "out_of_memory"),
        (1, "ModuleNotFoundError: No module named 'flash_attn'", "missing_package"),
        (-9, "", "killed"),
        (-11, "", "killed"),
        (None, "", "vanished"),
        (3, "", "died"),
    ],
)
def test_silent_death_is_explained(tmp_path: Path, exit_code: int | None, log: str, code: str) -> None:
    (tmp_path / "log.txt").write_text(log, encoding="utf-8")
    assert explain_death(RunDir(tmp_path), exit_code)[0] == code


def test_run_folder_that_cannot_be_made_fails_the_run(studio: Studio) -> None:
    job = studio.submit(demo_document(max_steps=2), owner="ana")
    studio.run_dir(job).path.parent.mkdir(exist_ok=True)
    studio.run_dir(job).path.write_text("a file is in the way", encoding="utf-8")
    ended = tick_until(studio, job, JobState.FAILED, seconds=10)
    assert ended.error_code == "start_failed"
    assert "could not be started" in (ended.error_message or "")


def test_claimed_run_without_a_process_is_interrupted(studio: Studio) -> None:
    job = studio.submit(demo_document(max_steps=2), owner="ana")
    with studio.database.write() as session:
        jobs.claim_next(session)
    ended = tick_until(studio, job, JobState.INTERRUPTED, seconds=10)
    assert ended.error_code == "vanished"


def test_upload_to_a_full_disk_is_a_sentence(studio: Studio, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt": "Q", "completion": "A"}\n', encoding="utf-8")
    first = import_file(studio.database, studio.settings, source, name="rows.jsonl", owner="ana")
    partial = Path(first.path).with_name("rows.jsonl.partial")
    partial.symlink_to(FULL_DISK)
    with pytest.raises(StorageFailed, match="could not be stored: No space left on device. Free some space"):
        import_file(studio.database, studio.settings, source, name="rows.jsonl", owner="ana")
    assert Path(first.path).read_text(encoding="utf-8") == source.read_text(encoding="utf-8")


def test_same_file_twice_is_one_data_set(studio: Studio, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("prompt,completion\nQ,A\n", encoding="utf-8")
    twice = [import_file(studio.database, studio.settings, source, name="rows.csv", owner="ana") for _ in range(2)]
    assert twice[0].id == twice[1].id
    assert [data.name for data in studio.datasets(owner="ana")] == ["rows.csv", "gem-orders (demo)"]
    assert [data.name for data in studio.datasets(owner="ben")] == ["gem-orders (demo)"]


@pytest.mark.parametrize("name", ["../../etc/rows.jsonl", "..\\rows.jsonl", "a/b/rows.jsonl", "<b>rows.jsonl"])
def test_upload_stays_in_its_folder(studio: Studio, tmp_path: Path, name: str) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt": "Q", "completion": "A"}\n', encoding="utf-8")
    stored = import_file(studio.database, studio.settings, source, name=name, owner="ana")
    assert Path(stored.path).resolve().is_relative_to(studio.settings.uploads / "ana")


def test_somebody_elses_run_is_forbidden(studio: Studio) -> None:
    job = studio.submit(demo_document(), owner="ana")
    with pytest.raises(Exception, match="belongs to somebody else"):
        studio.job(job.job_id, owner="ben")
    with pytest.raises(Exception, match="belongs to somebody else"):
        studio.cancel(job.job_id, owner="ben")
    assert studio.job(job.job_id, owner="ana").state == JobState.QUEUED
