"""Sources in buckets, read with the real client library from a store of the tests' own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.data.fetch import fetch
from pipeline.errors import DataProblem
from tests.pipeline.data.fetch.conftest import Child
from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture(scope="module")
def child(store: S3Server) -> Iterator[Child]:
    """A process that knows the store and its key."""
    with Child({**store.environment, "HOME": "/nowhere"}) as process:
        yield process


def test_object_arrives_whole(child: Child, store: S3Server, tmp_path: Path) -> None:
    content = os.urandom(20_000_000)
    store.put("gems", "raw/rows of mine.csv", content)
    fetched = child.fetch("s3://gems/raw/rows of mine.csv", tmp_path)
    assert fetched.contents == {("", "rows of mine.csv"): content}
    assert fetched.source == "s3://gems/raw/rows of mine.csv"
    done = [count for count, _, _ in fetched.told]
    assert done == sorted(done) and fetched.told[-1][:2] == (20_000_000, 20_000_000)


def test_folder_arrives_with_its_names_and_without_marks(child: Child, store: S3Server, tmp_path: Path) -> None:
    objects = {
        "train/part-1.jsonl": b"1\n",
        "train/part-2.jsonl": b"2\n",
        "test/part-1.jsonl": b"3\n",
        "test/_SUCCESS": b"",
        ".hidden/x.jsonl": b"4\n",
        "train/": b"",
    }
    for key, content in objects.items():
        store.put("gems", f"orders/{key}", content)
    store.page_size = 2
    try:
        fetched = child.fetch("s3://gems/orders", tmp_path)
    finally:
        store.page_size = 1000
    ((folder, name, split),) = fetched.files
    assert (name, split) == ("orders", "")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "train/part-1.jsonl": b"1\n",
        "train/part-2.jsonl": b"2\n",
        "test/part-1.jsonl": b"3\n",
    }


def test_pattern_chooses_files(child: Child, store: S3Server, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet", "c.csv", "deep/d.parquet"):
        store.put("gems", f"mixed/{name}", name.encode())
    ((folder, _, _),) = child.fetch("s3://gems/mixed/*.parquet", tmp_path).files
    assert sorted(path.name for path in folder.rglob("*.*")) == ["a.parquet", "b.parquet"]


def test_cut_object_is_gone_on_from_its_last_byte(child: Child, store: S3Server, tmp_path: Path) -> None:
    content = os.urandom(17_000_000)
    store.put("gems", "cut.csv", content)
    first, second = 8 << 20, 16 << 20
    store.http.cut_once("/cut.csv", after=3_000_000)
    assert child.fetch("s3://gems/cut.csv", tmp_path).contents == {("", "cut.csv"): content}
    ranges = [seen.headers["range"] for seen in store.http.downloads("/cut.csv") if seen.bytes_sent > 3_000_000]
    assert ranges == [f"bytes=0-{first - 1}", f"bytes={first}-{second - 1}"]


def test_interrupted_fetch_is_gone_on_from_by_the_next_one(child: Child, store: S3Server, tmp_path: Path) -> None:
    content = os.urandom(17_000_000)
    store.put("gems", "stopped.csv", content)
    finished = child.fetch("s3://gems/stopped.csv", tmp_path)
    ((path, _, _),) = finished.files
    partial = tmp_path / path.relative_to(tmp_path).parts[0] / "partial" / "stopped.csv"
    path.replace(partial)
    os.truncate(partial, 10_000_000)
    before = len(store.http.requests)
    again = child.fetch("s3://gems/stopped.csv", tmp_path)
    assert again.contents == {("", "stopped.csv"): content}
    sent = [seen.bytes_sent for seen in store.http.requests[before:] if seen.method == "GET"]
    assert sum(sent) == 7_000_000
    assert again.told[1][0] == 10_000_000


def test_replaced_object_is_not_mixed_with_its_older_part(child: Child, store: S3Server, tmp_path: Path) -> None:
    store.put("gems", "again.csv", b"a" * 1000)
    child.fetch("s3://gems/again.csv", tmp_path)
    store.put("gems", "again.csv", b"b" * 1000)
    assert child.fetch("s3://gems/again.csv", tmp_path).contents == {("", "again.csv"): b"b" * 1000}


def test_first_rows_come_without_the_rest(child: Child, store: S3Server, tmp_path: Path) -> None:
    lines = [b'{"n": %d}\n' % number for number in range(500_000)]
    store.put("gems", "long.jsonl", b"".join(lines))
    fetched = child.fetch("s3://gems/long.jsonl", tmp_path, max_rows=3)
    assert fetched.contents == {("", "long.jsonl"): b"".join(lines[:3])}
    assert sum(seen.bytes_sent for seen in store.http.downloads("/long.jsonl")) < 200_000


def test_names_may_not_lead_out_of_the_folder(child: Child, store: S3Server, tmp_path: Path) -> None:
    store.put("sly", "folder/../../evil.csv", b"x")
    store.put("sly", "folder/good.csv", b"x")
    failed = child.fetch("s3://sly/folder", tmp_path / "into")
    assert "is not a safe name" in failed.text
    assert list(tmp_path.rglob("evil.csv")) == []


@pytest.mark.parametrize("source", ["s3://gems/nothing.csv", "s3://nowhere/rows.csv", "s3://gems/none/*.csv"])
def test_nothing_at_the_address_is_named(child: Child, store: S3Server, tmp_path: Path, source: str) -> None:
    store.put("gems", "here.csv", b"x")
    failed = child.fetch(source, tmp_path)
    assert failed.error == "DataProblem"
    assert source in failed.text and failed.text.endswith("Check the bucket and the path.")


def test_key_that_may_not_read_is_told_where_it_belongs(store: S3Server, tmp_path: Path) -> None:
    store.put("gems", "here.csv", b"x")
    with Child({**store.environment, "AWS_ACCESS_KEY_ID": "somebody"}) as child:
        failed = child.fetch("s3://gems/here.csv", tmp_path)
    assert failed.text.startswith("s3://gems/here.csv may not be read: ")
    assert "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of the studio" in failed.text


def test_without_a_key_public_buckets_are_read_and_others_name_what_is_missing(store: S3Server, tmp_path: Path) -> None:
    store.put("open", "rows.csv", b"a\n1\n")
    store.put("gems", "here.csv", b"x")
    store.public.add("open")
    environment = {name: value for name, value in store.environment.items() if "KEY" not in name}
    with Child({**environment, "HOME": str(tmp_path)}) as child:
        assert child.fetch("s3://open/rows.csv", tmp_path).contents == {("", "rows.csv"): b"a\n1\n"}
        failed = child.fetch("s3://gems/here.csv", tmp_path)
    assert failed.text.startswith("s3://gems/here.csv may not be read: ")
    assert "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in failed.text


def test_store_that_is_not_there_is_named(tmp_path: Path, store: S3Server) -> None:
    with Child({**store.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}) as child:
        failed = child.fetch("s3://gems/here.csv", tmp_path)
    assert failed.error == "StorageFailed"
    assert "s3://gems/here.csv cannot be fetched: " in failed.text


@pytest.mark.parametrize(
    ("scheme", "extra", "package"),
    [("s3", "s3", "s3fs"), ("s3", "s3", "botocore.session"), ("gs", "gcs", "gcsfs")],
)
def test_missing_package_is_named_with_its_installation(
    scheme: str, extra: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataProblem) as caught:
        fetch(f"{scheme}://gems/rows.csv", into=tmp_path, progress=lambda *_: None)
    assert str(caught.value) == (
        f'{scheme}:// addresses need a package that is not installed. Install it with: pip install "lapidary[{extra}]"'
    )
