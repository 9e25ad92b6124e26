"""Sources behind http addresses."""

import os
from pathlib import Path

import pytest

from pipeline.data.fetch import Fetched, fetch
from pipeline.errors import DataProblem, StorageFailed
from tests.file_server import FileServer
from tests.pipeline.data.fetch.conftest import Site


def serve(site: Site, folder: Path, path: str, content: bytes, **headers: str) -> None:
    file = folder / f"served-{len(site.files)}"
    file.write_bytes(content)
    site.files[path] = file
    site.headers[path] = {name.replace("_", "-"): value for name, value in headers.items()}


def get(address: str, into: Path, **options: int) -> Fetched:
    return fetch(address, into=into, progress=lambda *_: None, **options)


def test_file_arrives_under_its_name(site: Site, web: FileServer, tmp_path: Path) -> None:
    serve(site, tmp_path, "/data/rows of mine.csv", b"a,b\n1,2\n", ETag='"one"')
    fetched = get(f"{web.url}/data/rows%20of%20mine.csv?signature=secret", tmp_path / "into")
    (file,) = fetched.files
    assert (file.name, file.split) == ("rows of mine.csv", "")
    assert file.path.read_bytes() == b"a,b\n1,2\n"
    assert fetched.source == f"{web.url}/data/rows%20of%20mine.csv"


def test_cut_download_is_gone_on_from_by_the_next_attempt(site: Site, web: FileServer, tmp_path: Path) -> None:
    content = os.urandom(500_000)
    serve(site, tmp_path, "/rows.csv", content, ETag='"one"')
    web.cut_once("/rows.csv", after=1)  # the look that comes first reads one byte
    web.cut_once("/rows.csv", after=300_000)
    fetched = get(f"{web.url}/rows.csv", tmp_path / "into")
    assert fetched.files[0].path.read_bytes() == content
    last = web.downloads("/rows.csv")[-1]
    assert last.headers["range"] == "bytes=300000-"
    assert last.headers["if-range"] == '"one"'
    assert last.bytes_sent == 200_000


def test_changed_file_is_not_mixed_with_its_older_part(site: Site, web: FileServer, tmp_path: Path) -> None:
    old, new = os.urandom(400_000), os.urandom(400_000)
    serve(site, tmp_path, "/rows.csv", old, Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    served = site.files["/rows.csv"]
    web.cut_once("/rows.csv", after=1)
    web.cut_once("/rows.csv", after=100_000)
    original = web.answer

    def answer(request):  # type: ignore[no-untyped-def]
        if request.headers.get("range", "").startswith("bytes=100000"):
            served.write_bytes(new)
            site.headers["/rows.csv"] = {"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"}
        return original(request)

    web.answer = answer
    assert get(f"{web.url}/rows.csv", tmp_path / "into").files[0].path.read_bytes() == new


def test_server_without_ranges_or_length_is_read_through(site: Site, web: FileServer, tmp_path: Path) -> None:
    serve(site, tmp_path, "/export", b'{"a": 1}\n', Content_Type="application/x-ndjson; charset=utf-8")
    site.plain.add("/export")
    site.endless.add("/export")
    (file,) = get(f"{web.url}/export", tmp_path / "into").files
    assert (file.name, file.path.read_bytes()) == ("export.jsonl", b'{"a": 1}\n')


def test_name_of_the_download_counts_before_that_of_the_address(site: Site, web: FileServer, tmp_path: Path) -> None:
    serve(site, tmp_path, "/d", b"a\n", Content_Disposition='attachment; filename="../../etc/rows.csv"')
    (file,) = get(f"{web.url}/d", tmp_path / "into").files
    assert file.name == "rows.csv"
    assert file.path.is_relative_to(tmp_path / "into")


def test_first_rows_of_a_long_file_come_alone(site: Site, web: FileServer, tmp_path: Path) -> None:
    lines = [f'{{"n": {n}}}\n'.encode() for n in range(500_000)]
    serve(site, tmp_path, "/rows.jsonl", b"".join(lines), ETag='"one"')
    (file,) = get(f"{web.url}/rows.jsonl", tmp_path / "into", max_rows=10).files
    assert file.path.read_bytes() == b"".join(lines[:10])
    assert web.bytes_sent() < 200_000


def test_web_page_is_not_taken_for_data(site: Site, web: FileServer, tmp_path: Path) -> None:
    serve(site, tmp_path, "/view/rows", b"<html>", Content_Type="text/html; charset=utf-8")
    with pytest.raises(DataProblem, match="is a web page, not a file of rows"):
        get(f"{web.url}/view/rows", tmp_path / "into")


def test_missing_file_is_named_without_its_secrets(web: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        get(f"{web.url.replace('//', '//ada:word@')}/rows.csv?key=abc", tmp_path / "into")
    assert str(caught.value) == (f"There is nothing at {web.url}/rows.csv (its server answers 404). Check the address.")


def test_login_is_told_to_be_missing(site: Site, web: FileServer, tmp_path: Path) -> None:
    web.answer_once("/rows.csv", 401)
    with pytest.raises(DataProblem, match="may not be read without signing in"):
        get(f"{web.url}/rows.csv", tmp_path / "into")


def test_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="http://127.0.0.1:9/rows.csv cannot be fetched: 127.0.0.1 cannot be reach"):
        get("http://127.0.0.1:9/rows.csv", tmp_path / "into")


def test_empty_file_arrives_empty(site: Site, web: FileServer, tmp_path: Path) -> None:
    serve(site, tmp_path, "/rows.csv", b"", ETag='"one"')
    assert get(f"{web.url}/rows.csv", tmp_path / "into").files[0].path.read_bytes() == b""


def test_address_of_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "my rows.csv").write_text("a\n1\n")
    (file,) = get(f"file://{tmp_path}/my%20rows.csv", tmp_path / "into").files
    assert file.path == tmp_path / "my rows.csv"
    assert not (tmp_path / "into").exists()
    with pytest.raises(DataProblem, match="There is no file at"):
        get(f"file://{tmp_path}/other.csv", tmp_path / "into")
