"""Delivery to a folder: whole files only, whatever happens on the way."""

import hashlib
import signal
from pathlib import Path

import pytest

from pipeline.errors import StorageFailed, UserError
from pipeline.exporters.destinations import DeliveredFile, deliver
from pipeline.exporters.destinations.address import parse_destination
from tests.pipeline.exporters.delivery import Child, contents, write_export


def delivered_files(folder: Path) -> dict[str, DeliveredFile]:
    """The files below a folder, as they are handed over."""
    return {
        path: DeliveredFile(folder / path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in contents(folder).items()
    }


def send(files: dict[str, DeliveredFile], target: Path, told: list[tuple[int, int]] | None = None) -> str:
    """Deliver to a folder of this machine."""
    return deliver(
        files,
        parse_destination(str(target)),
        commit_message="",
        progress=lambda done, total: None if told is None else told.append((done, total)),
    )


def test_folder_has_every_file_and_nothing_else(tmp_path: Path) -> None:
    source, target, told = write_export(tmp_path / "run"), tmp_path / "deep" / "target", list[tuple[int, int]]()
    assert send(delivered_files(source), target, told) == str(target)
    assert contents(target) == contents(source)
    total = sum(map(len, contents(source).values()))
    assert told == sorted(told) and told[0] == (0, total) and told[-1] == (total, total)


def test_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    source, target = write_export(tmp_path / "run"), tmp_path / "target"
    send(delivered_files(source), target)
    (target / "README.md").write_text("mine")
    assert (source / "README.md").read_text() != "mine"


def test_second_delivery_writes_only_what_differs(tmp_path: Path) -> None:
    source, target = write_export(tmp_path / "run"), tmp_path / "target"
    send(delivered_files(source), target)
    before = {path: (target / path).stat().st_ino for path in contents(target)}
    card = (target / "README.md").read_bytes()
    (target / "README.md").write_bytes(card[::-1])
    (target / "notes.txt").write_text("of the user")
    told = list[tuple[int, int]]()
    send(delivered_files(source), target, told)
    assert told[0][1] - told[0][0] == len(card)
    assert (target / "README.md").read_bytes() == card and (target / "notes.txt").exists()
    after = {path: (target / path).stat().st_ino for path in before}
    assert [path for path in before if before[path] != after[path]] == ["README.md"]


def test_manifest_is_written_last(tmp_path: Path) -> None:
    source, target = write_export(tmp_path / "run"), tmp_path / "target"
    send(delivered_files(source), target)
    written = sorted(contents(target), key=lambda path: (target / path).stat().st_mtime_ns)
    assert written[-1] == "manifest.json"


def test_disk_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    files = delivered_files(write_export(tmp_path / "run"))
    files["huge.gguf"] = DeliveredFile(tmp_path / "run" / "README.md", 10**17, "0" * 64)
    with pytest.raises(StorageFailed, match=r"need 100,000,000\.0 GB more at .* can be used there"):
        send(files, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_file_that_changed_meanwhile_is_not_delivered(tmp_path: Path) -> None:
    source, target = write_export(tmp_path / "run"), tmp_path / "target"
    files = delivered_files(source)
    (source / "merged" / "config.json").write_bytes(b"x" * files["merged/config.json"].size_bytes)
    with pytest.raises(StorageFailed, match=r"config\.json changed while it was copied"):
        send(files, target)
    assert "merged/config.json" not in contents(target) and "manifest.json" not in contents(target)
    assert not [path for path in contents(target) if path.endswith(".partial")]


def test_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot be written: Not a directory"):
        send(delivered_files(write_export(tmp_path / "run")), tmp_path / "file" / "below")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", "a//b", "./x", "", "a\nb"])
def test_path_out_of_the_destination_is_refused(path: str, tmp_path: Path) -> None:
    file = DeliveredFile(write_export(tmp_path / "run") / "README.md", 38, "0" * 64)
    with pytest.raises(ValueError, match="not a path below a destination"):
        send({path: file}, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_killed_delivery_leaves_no_half_file_and_is_made_good(tmp_path: Path) -> None:
    source, target = write_export(tmp_path / "run", large_bytes=60_000_000), tmp_path / "target"
    with Child({}, tmp_path / "log") as child:
        child.begin(source, str(target), announces=True)
        # In the middle of the large file.
        while child.next_line()["told"][0] < 10_000_000:
            pass
        child.process.send_signal(signal.SIGKILL)
        child.process.wait(timeout=30)
    left = contents(target)
    assert {path for path in left if not path.endswith(".partial")} <= set(contents(source)) - {"manifest.json"}
    assert all(content == contents(source)[path] for path, content in left.items() if not path.endswith(".partial"))
    assert [path for path in left if path.endswith(".partial")] == ["merged/model.safetensors.partial"]
    send(delivered_files(source), target)
    assert contents(target) == contents(source)


def test_package_that_is_missing_is_named_with_its_install_line(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    for name in ("s3fs", "gcsfs"):
        (tmp_path / "modules" / f"{name}.py").write_text("raise ModuleNotFoundError('not installed')\n")
    with Child({"PYTHONPATH": str(tmp_path / "modules")}, tmp_path / "log") as child:
        for address, extra in (("s3://gems/x", "s3"), ("gs://gems/x", "gcs")):
            failed = child.deliver(write_export(tmp_path / "run"), address)
            assert failed.error == UserError.__name__
            assert failed.text.endswith(f'Install it with: pip install "lapidary[{extra}]"')
