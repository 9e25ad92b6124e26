"""The scheduler, ticked by hand, with real children and real trouble."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db import jobs
from db.states import JobState
from pipeline.run_dir import RunDir
from studio.death import explain_death
from studio.service import Studio
from tests.documents import demo_document
from tests.services import open_studio, tick_until

FULL_DISK = Path("/dev/full")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "home") as studio:
        yield studio


@pytest.mark.slow
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


def test_somebody_elses_run_is_forbidden(studio: Studio) -> None:
    job = studio.submit(demo_document(), owner="ana")
    with pytest.raises(Exception, match="belongs to somebody else"):
        studio.job(job.job_id, owner="ben")
    with pytest.raises(Exception, match="belongs to somebody else"):
        studio.cancel(job.job_id, owner="ben")
    assert studio.job(job.job_id, owner="ana").state == JobState.QUEUED
