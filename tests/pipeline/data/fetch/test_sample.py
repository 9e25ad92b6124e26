"""The first rows of a file: the same rows that the whole file begins with, and few bytes of the rest."""

import csv
import io
import json
import os
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.fetch import fetch
from pipeline.data.fetch.http_file import http_file
from pipeline.data.fetch.sample import cut_lines, cut_parquet, cut_records, sample_all
from pipeline.errors import StorageFailed
from tests.file_server import FileServer
from tests.hub_server import HubServer
from tests.pipeline.data.fetch.conftest import Child, Site

TEXT = st.text(st.sampled_from('ab,"\n\r é')).filter(lambda text: "\r" not in text)


@given(st.lists(st.sampled_from([b"", b"  ", b"{}", b'{"a": "x"}', b"not json"])), st.integers(1, 5), st.booleans())
def test_cut_lines_are_the_first_that_are_not_blank(lines: list[bytes], rows: int, ends: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    target = io.BytesIO()
    taken = cut_lines(io.BytesIO(content), target, rows)
    kept = [line for line in content.split(b"\n") if line.strip()]
    assert content.startswith(target.getvalue())
    assert [line for line in target.getvalue().split(b"\n") if line.strip()] == kept[:rows]
    assert taken == min(rows, len(kept))


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=8), st.integers(1, 5))
def test_cut_records_are_the_first_ones(table: list[list[str]], rows: int) -> None:
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerows(table)
    target = io.BytesIO()
    taken = cut_records(io.BytesIO(sheet.getvalue().encode()), target, rows)
    assert list(csv.reader(io.StringIO(target.getvalue().decode(), newline=""))) == table[: rows + 1]
    assert taken == min(rows, len(table) - 1)


@given(st.binary(max_size=200), st.integers(1, 4))
def test_cut_records_take_too_much_rather_than_too_little(content: bytes, rows: int) -> None:
    target = io.BytesIO()
    cut_records(io.BytesIO(content), target, rows)
    assert content.startswith(target.getvalue())
    assert target.getvalue() == content or target.getvalue().count(b"\n") > rows


def test_cut_table_keeps_its_types_and_metadata() -> None:
    table = pa.table({"a": pa.array([1, None, 3], pa.int8()), "b": [["x"], [], None]})
    table = table.replace_schema_metadata({"huggingface": "{}"})
    source, target = io.BytesIO(), io.BytesIO()
    pq.write_table(table, source)
    assert cut_parquet(io.BytesIO(source.getvalue()), target, 2) == 2
    cut = pq.read_table(io.BytesIO(target.getvalue()))
    assert cut.schema.equals(table.schema)
    assert cut.schema.metadata[b"huggingface"] == b"{}"
    assert cut.to_pylist() == table.slice(0, 2).to_pylist()


def served(hub: HubServer, name: str) -> int:
    return sum(seen.bytes_sent for seen in hub.requests if name in seen.path)


def test_first_lines_come_without_the_rest(child: Child, hub: HubServer, tmp_path: Path) -> None:
    lines = [json.dumps({"n": n, "text": os.urandom(500).hex()}).encode() for n in range(20_000)]
    hub.add_dataset("gems/long", {"train.jsonl": b"\n".join(lines)})
    fetched = child.fetch("gems/long", tmp_path, max_rows=50)
    ((path, name, split),) = fetched.files
    assert (name, split) == ("train.jsonl", "train")
    assert path.read_bytes().splitlines() == lines[:50]
    assert served(hub, "/gems/long/") < 300_000


def test_first_rows_of_a_wide_table_come_without_its_row_group(child: Child, hub: HubServer, tmp_path: Path) -> None:
    rows = [{"n": n, "text": os.urandom(2000).hex(), "note": os.urandom(1000).hex()} for n in range(5_000)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, use_dictionary=False)
    content = sink.getvalue()
    hub.add_dataset("gems/wide", {"data/train-00000-of-00001.parquet": content})
    fetched = child.fetch("gems/wide", tmp_path, max_rows=20)
    ((path, _, _),) = fetched.files
    assert pq.read_table(path).to_pylist() == rows[:20]
    # What is on its way when the reader stops counts as sent.
    assert served(hub, "/gems/wide/") < len(content) / 2 > 12_000_000


def test_rows_go_on_in_the_next_file_and_stop_there(child: Child, hub: HubServer, tmp_path: Path) -> None:
    files = {f"data/train-{n:05d}-of-00003.jsonl": b'{"n": 1}\n{"n": 2}\n{"n": 3}\n' for n in range(3)}
    hub.add_dataset("gems/shards", files)
    fetched = child.fetch("gems/shards", tmp_path, max_rows=4)
    assert list(fetched.contents.values()) == [b'{"n": 1}\n{"n": 2}\n{"n": 3}\n', b'{"n": 1}\n']
    assert hub.http.downloads("/data/train-00002-of-00003.jsonl") == []


def test_json_of_one_object_a_line_is_cut_and_an_array_comes_whole(
    child: Child, hub: HubServer, tmp_path: Path
) -> None:
    array = json.dumps([{"n": n} for n in range(10)]).encode()
    hub.add_dataset("gems/lines", {"train.json": b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'})
    hub.add_dataset("gems/array", {"train.json": array})
    assert list(child.fetch("gems/lines", tmp_path, max_rows=2).contents.values()) == [b'{"n": 1}\n{"n": 2}\n']
    assert list(child.fetch("gems/array", tmp_path, max_rows=2).contents.values()) == [array]


def test_wide_characters_come_whole(child: Child, hub: HubServer, tmp_path: Path) -> None:
    table = "prompt,completion\nä,b\nc,d\n".encode("utf-16")
    hub.add_dataset("gems/utf16", {"train.csv": table})
    assert list(child.fetch("gems/utf16", tmp_path, max_rows=1).contents.values()) == [table]


def test_first_rows_survive_a_broken_connection(child: Child, hub: HubServer, tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"n": n, "t": os.urandom(200).hex()}).encode() + b"\n" for n in range(2_000))
    commit = hub.add_dataset("gems/shaky", {"train.jsonl": lines})
    hub.http.cut_once(f"/gems/shaky/resolve/{commit}/train.jsonl", after=50_000)
    fetched = child.fetch("gems/shaky", tmp_path, max_rows=1_000)
    assert list(fetched.contents.values()) == [b"".join(lines.splitlines(keepends=True)[:1_000])]


def test_table_whose_server_fails_is_not_called_damaged(site: Site, web: FileServer, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a" * 1000] * 1000}), tmp_path / "served.parquet")
    site.files["/rows.parquet"] = tmp_path / "served.parquet"
    size = (tmp_path / "served.parquet").stat().st_size
    for _ in range(3):
        web.answer_once("/rows.parquet", 503)
    with httpx.Client() as client:
        address = f"{web.url}/rows.parquet"
        remote = http_file(client, address, name="rows.parquet", refuse=lambda _: StorageFailed(""), size=size, tag="1")
        with pytest.raises(
            StorageFailed, match=r"rows\.parquet cannot be fetched: .* answered 503 .* \(3 times in a row\)"
        ):
            sample_all({"rows.parquet": remote}, tmp_path, progress=lambda *_: None, max_rows=2, waits=(0, 0))


def test_sample_that_cannot_be_written_is_named(site: Site, web: FileServer, tmp_path: Path) -> None:
    (tmp_path / "served.jsonl").write_bytes(b"{}\n" * 100)
    site.files["/rows.jsonl"] = tmp_path / "served.jsonl"
    (tmp_path / "into").write_text("a file where a folder has to be")
    with pytest.raises(StorageFailed, match=r"cannot be written: (Not a directory|File exists)\."):
        fetch(f"{web.url}/rows.jsonl", into=tmp_path / "into", progress=lambda *_: None, max_rows=2)


def test_file_that_is_no_parquet_is_named(child: Child, hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/fake", {"train.parquet": b"not a table at all"})
    failed = child.fetch("gems/fake", tmp_path, max_rows=5)
    assert failed.text == "train.parquet is called .parquet and is no Parquet file, or a damaged one."


@pytest.mark.parametrize("rows", [1, 3])
def test_total_of_a_sample_is_not_known_beforehand(child: Child, hub: HubServer, tmp_path: Path, rows: int) -> None:
    hub.add_dataset("gems/few", {"train.jsonl": b'{"n": 1}\n{"n": 2}\n'})
    fetched = child.fetch("gems/few", tmp_path, max_rows=rows)
    assert {total for _, total, _ in fetched.told} == {None}
    assert fetched.told[-1][2] == "Reading the first rows of train.jsonl"
