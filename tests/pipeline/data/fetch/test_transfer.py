"""Transfers of several files from a web server: what arrives, what is told, what fails."""

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.fetch.http_file import http_file
from pipeline.data.fetch.progress import Tally
from pipeline.data.fetch.remote_file import RemoteFile, place_below
from pipeline.data.fetch.transfer import require_space, transfer_all
from pipeline.errors import DataProblem, StorageFailed
from tests.file_server import FileServer
from tests.pipeline.data.fetch.conftest import PROJECT, Site

NO_WAITS = (0.0, 0.0, 0.0)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def refuse(response: httpx.Response) -> StorageFailed:
    return StorageFailed(f"refused with {response.status_code}")


def offer(site: Site, web: FileServer, client: httpx.Client, folder: Path, path: str, content: bytes) -> RemoteFile:
    """A file on the web server, and the remote file that reads it."""
    file = folder / f"served-{path}"
    file.write_bytes(content)
    site.files[f"/{path}"] = file
    return http_file(client, f"{web.url}/{path}", name=path, refuse=refuse, size=len(content), tag="one")


def test_files_lie_at_their_keys(site: Site, web: FileServer, client: httpx.Client, tmp_path: Path) -> None:
    remotes = {
        f"train/{name}": offer(site, web, client, tmp_path, name, os.urandom(size))
        for name, size in (("a", 0), ("b", 1), ("c", 300_000))
    }
    told: list[tuple[int, int | None]] = []
    places = transfer_all(remotes, tmp_path / "into", progress=lambda done, total, _: told.append((done, total)))
    assert places == {key: tmp_path / "into" / "files" / key for key in remotes}
    assert all(path.read_bytes() == site.files[f"/{path.name}"].read_bytes() for path in places.values())
    assert told[0] == (0, 300_001) and told[-1] == (300_001, 300_001)


def test_server_that_ignores_ranges_is_read_from_the_beginning(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    content = os.urandom(400_000)
    remote = offer(site, web, client, tmp_path, "a.csv", content)
    site.plain.add("/a.csv")
    web.cut_once("/a.csv", after=250_000)
    told: list[int] = []
    places = transfer_all(
        {"a.csv": remote}, tmp_path / "into", progress=lambda done, *_: told.append(done), waits=NO_WAITS
    )
    assert places["a.csv"].read_bytes() == content
    assert told == sorted(told) and told[-1] == 400_000


def test_connection_that_always_breaks_at_one_place_is_given_up(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    remote = offer(site, web, client, tmp_path, "a.csv", os.urandom(100_000))
    site.plain.add("/a.csv")
    for _ in range(10):
        web.cut_once("/a.csv", after=50_000)
    with pytest.raises(StorageFailed, match=r"a\.csv cannot be fetched: .* broke \(4 times in a row\)"):
        transfer_all({"a.csv": remote}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)


def test_connection_that_breaks_often_and_gets_on_is_not_given_up(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    content = os.urandom(500_000)
    remote = offer(site, web, client, tmp_path, "a.csv", content)
    for _ in range(9):
        web.cut_once("/a.csv", after=50_000)
    places = transfer_all({"a.csv": remote}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)
    assert places["a.csv"].read_bytes() == content
    assert [seen.bytes_sent for seen in web.downloads("/a.csv")] == [50_000] * 10


def test_refusal_ends_the_transfer_at_once(site: Site, web: FileServer, client: httpx.Client, tmp_path: Path) -> None:
    remote = offer(site, web, client, tmp_path, "a.csv", b"x")
    web.answer_once("/a.csv", 403)
    with pytest.raises(StorageFailed, match="refused with 403"):
        transfer_all({"a.csv": remote}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)
    assert len(web.requests) == 1


def test_more_than_was_announced_is_refused(site: Site, web: FileServer, client: httpx.Client, tmp_path: Path) -> None:
    offer(site, web, client, tmp_path, "a.csv", b"x" * 1000)
    short = http_file(client, f"{web.url}/a.csv", name="a.csv", refuse=refuse, size=999, tag="one")
    with pytest.raises(StorageFailed, match="longer than its server said"):
        transfer_all({"a.csv": short}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)


def test_checksum_is_of_the_whole_file_after_a_resumption(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    offer(site, web, client, tmp_path, "a.csv", content)
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    remote = http_file(
        client, f"{web.url}/a.csv", name="a.csv", refuse=refuse, size=300_000, tag="one", checksum=checksum
    )
    partial = tmp_path / "into" / "partial" / "a.csv"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"other bytes of the same file, as it seems")
    with pytest.raises(StorageFailed, match="arrived damaged"):
        transfer_all({"a.csv": remote}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)
    places = transfer_all({"a.csv": remote}, tmp_path / "into", progress=lambda *_: None, waits=NO_WAITS)
    assert places["a.csv"].read_bytes() == content


def test_exception_of_the_listener_ends_the_transfer(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    remotes = {name: offer(site, web, client, tmp_path, name, os.urandom(200_000)) for name in ("a", "b", "c")}

    def progress(done: int, total: int | None, what: str) -> None:
        if done:
            raise InterruptedError(what)

    with pytest.raises(InterruptedError):
        transfer_all(remotes, tmp_path / "into", progress=progress, waits=NO_WAITS)
    assert not list((tmp_path / "into" / "files").glob("*"))


def test_disk_that_cannot_be_written_is_named(
    site: Site, web: FileServer, client: httpx.Client, tmp_path: Path
) -> None:
    offer(site, web, client, tmp_path, "a.csv", os.urandom(300_000))
    code = (
        "import resource, sys, pathlib\n"
        "from pipeline.data.fetch import fetch\n"
        "from pipeline.errors import StorageFailed\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: fetch(sys.argv[1], into=pathlib.Path(sys.argv[2]), progress=lambda *_: None)\n"
        "except StorageFailed as error: print(error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
    arguments = [sys.executable, "-c", code, f"{web.url}/a.csv", str(tmp_path / "into")]
    done = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "cannot be written: File too large. Make room or correct its rights, then try again" in done.stdout


def test_space_is_required_before_it_is_missed(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet", 0, what="it")
    with pytest.raises(StorageFailed, match=r"The disk is too full: the set needs 1,000,000\.0 GB more, and of the"):
        require_space(tmp_path / "not" / "yet", 10**15, what="the set")


@given(st.text(st.sampled_from("ab./\\\x00\n é"), max_size=12))
def test_every_place_is_below_its_folder(name: str) -> None:
    folder = Path("/data/into")
    try:
        place = place_below(folder, name)
    except DataProblem as problem:
        assert "is not a safe name" in str(problem)
    else:
        assert place.relative_to(folder).as_posix() == name
        assert Path(os.path.normpath(place)) == place


@given(st.lists(st.integers(-50, 100), max_size=30), st.none() | st.integers(0, 500))
def test_what_is_told_never_goes_back_nor_beyond_the_total(steps: list[int], total: int | None) -> None:
    told: list[int] = []
    tally = Tally(lambda done, *_: told.append(done), total=total)
    tally.start(10, "start")
    for step in steps:
        if step < 0:
            tally.take_back(-step)
        else:
            tally.add(step, "more")
    assert told == sorted(told)
    assert total is None or max(told) <= total
