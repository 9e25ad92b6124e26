"""The run folder: documents are replaced whole, a manifest counts only with its files."""

import json
from pathlib import Path

import pytest

from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.documents import demo_document


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(parse_job_config(demo_document()))
    return run_dir


def complete(run_dir: RunDir) -> None:
    (run_dir.artifact("adapter")).mkdir()
    (run_dir.artifact("adapter") / "weights.bin").write_bytes(b"abc")
    with JobTracker(run_dir) as tracker:
        tracker.artifact("adapter")
        tracker.complete({"train_loss": 0.5}, versions={})


def test_document_is_read_back(run_dir: RunDir) -> None:
    assert run_dir.read_config() == parse_job_config(demo_document())
    assert [path.name for path in run_dir.path.iterdir()] == ["config.json"]


def test_folder_is_private(run_dir: RunDir) -> None:
    assert run_dir.path.stat().st_mode & 0o077 == 0


def test_manifest_lists_files_with_their_hashes(run_dir: RunDir) -> None:
    assert run_dir.read_manifest() is None
    complete(run_dir)
    manifest = run_dir.read_manifest()
    assert manifest is not None
    (file,) = manifest.artifacts[0].files
    assert (file.path, file.size_bytes) == ("adapter/weights.bin", 3)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_manifest_without_measurements_is_read(run_dir: RunDir) -> None:
    complete(run_dir)
    written = json.loads(run_dir.manifest_file.read_text(encoding="utf-8"))
    # As runs wrote it before they measured themselves.
    del written["measured"]
    run_dir.manifest_file.write_text(json.dumps(written), encoding="utf-8")
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert manifest.measured is None


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_manifest_without_its_files_does_not_count(run_dir: RunDir, damage: str) -> None:
    complete(run_dir)
    file = run_dir.artifact("adapter") / "weights.bin"
    file.unlink() if damage == "missing" else file.write_bytes(b"a")
    assert run_dir.read_manifest() is None


def test_failure_in_the_body_becomes_an_event(run_dir: RunDir) -> None:
    with pytest.raises(ZeroDivisionError), JobTracker(run_dir):
        _ = 1 / 0
    (event,), _ = run_dir.read_events()
    assert event.type == "job_failed"
    assert event.model_dump()["message"] == "ZeroDivisionError: division by zero"
