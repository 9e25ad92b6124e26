"""Any file or folder becomes numbered rows; what is no data set is refused in one sentence that says what it is."""

import gzip
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from pipeline.data.row_store import NumberedRow, RowStore, RowWriter, UnreadableRow
from pipeline.data.sources import SUPPORTED_SUFFIXES, read_source
from pipeline.errors import DataProblem, StorageFailed
from tests.pipeline.data.sources.reading import JPEG, png, read, read_bytes

ROWS = [{"prompt": "a\r\nb", "completion": "é"}, {"prompt": "", "completion": "😀"}]


def csv_of(rows: list[dict[str, str]]) -> bytes:
    lines = ["prompt,completion", *(f'"{row["prompt"]}","{row["completion"]}"' for row in rows)]
    return "\n".join(lines).encode()


def xlsx_of(rows: list[dict[str, str]]) -> bytes:
    book = Workbook()
    assert book.active is not None
    for cells in (rows[0].keys(), *(row.values() for row in rows)):
        book.active.append(list(cells))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parquet_of(rows: list[dict[str, str]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


JSONL = "\n".join(json.dumps(row) for row in ROWS).encode()
CONTENTS = {
    ".csv": csv_of(ROWS),
    ".tsv": csv_of(ROWS).replace(b",", b"\t"),
    ".json": json.dumps(ROWS).encode(),
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".parquet": parquet_of(ROWS),
    ".xlsx": xlsx_of(ROWS),
    ".zip": zip_of({"rows.csv": csv_of(ROWS)}),
    ".gz": gzip.compress(JSONL),
}


@pytest.mark.parametrize("suffix", sorted(CONTENTS))
def test_each_kind_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    source = read_bytes(tmp_path, f"rows.jsonl{suffix}" if suffix == ".gz" else f"rows{suffix}", CONTENTS[suffix])
    assert source.rows == ROWS
    assert [item.number for item in source.numbered] == [1, 2]
    assert source.splits == ["train", "train"]
    assert source.unreadable == []


def test_every_supported_suffix_is_tried_here_or_with_documents() -> None:
    assert set(SUPPORTED_SUFFIXES) == {*CONTENTS, ".txt", ".md"}


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx", ".zip", ".gz"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.txt", "rows.dat", "rows"])
def test_a_renamed_binary_file_is_read_as_what_it_is(suffix: str, name: str, tmp_path: Path) -> None:
    if suffix == ".gz":
        content = gzip.compress(csv_of(ROWS))
        name = "rows.csv"
    else:
        content = CONTENTS[suffix]
    assert read_bytes(tmp_path, name, content).rows == ROWS


def test_the_name_gives_the_type_of_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "upload-1234.tmp"
    path.write_bytes(JSONL)
    assert read(path, name="rows.jsonl").rows == ROWS
    with pytest.raises(DataProblem, match=r"^upload-1234\.tmp is a \.tmp file"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.csv", b"", "rows.csv is empty. Give a file with at least one row."),
        ("rows.jsonl", b"\n \n", "rows.jsonl has no rows. Give a file with at least one row."),
        ("rows.json", b" ", "rows.json has no rows. Give a file with at least one row."),
        ("rows.json", b"[]", "rows.json has no rows. Give a file with at least one row."),
        ("rows.csv", b"prompt,completion\n", "rows.csv has no rows. Give a file with at least one row."),
        ("rows.xml", b"<rows/>", "rows.xml is a .xml file, which is not read. Give one of .csv, .tsv, .json, "),
        ("rows", b"hello", "rows is a file without an ending, which is not read. Give one of .csv, "),
        ("rows.csv", b"<!DOCTYPE html>\n<p>Sign in", "rows.csv is a web page, not .csv data; a link that asks to sign"),
        ("rows.jsonl", b"\xef\xbb\xbf \n<html>", "rows.jsonl is a web page"),
        ("rows.json", "<HTML>".encode("utf-16"), "rows.json is a web page"),
        ("rows.parquet", b"<html>", "rows.parquet is a web page"),
        ("rows.parquet", b"a,b\n1,2\n", "rows.parquet is not a Parquet file, or its beginning is damaged."),
        ("rows.xlsx", b"a,b\n1,2\n", "rows.xlsx is not a workbook, or its beginning is damaged."),
        ("rows.zip", b"a,b\n1,2\n", "rows.zip is not a zip, or its beginning is damaged."),
        ("rows.gz", b"a,b\n1,2\n", "rows.gz is not a gzip, or its beginning is damaged."),
        ("rows.csv", b"version https://git-lfs.github.com/spec/v1\noid", "rows.csv is a Git LFS pointer, not the file"),
        ("rows.csv", pickle.dumps({"a": [1]}), "rows.csv is a Python pickle, which can run code when it is opened."),
        ("rows.pkl", pickle.dumps([1], protocol=2), "rows.pkl is a Python pickle"),
        ("rows.csv", b"MZ\x90\0\3\0", "rows.csv is a program. Give the data themselves."),
        ("rows.txt", b"\x7fELF\2", "rows.txt is a program. Give the data themselves."),
        ("rows.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "rows.xls is an old Excel file, or one with a password."),
        ("rows.pdf", b"%PDF-1.7", "rows.pdf is a PDF document."),
        ("rows.png", png(), "rows.png is one image. Give a .zip or a folder with the images and a table."),
        ("rows.docx", zip_of({"[Content_Types].xml": b"", "word/document.xml": b""}), "rows.docx is a Word document."),
        ("rows.zip", b"PK\3\4 and then nothing", "rows.zip is a damaged zip or workbook: file is not a zip file."),
        ("rows.csv", "a,b\n1,2\n".encode("utf-16-le"), "rows.csv is not text: 8 of its first 16 bytes are zero."),
        ("rows.txt", bytes(range(256)) * 4, "rows.txt is not UTF-8 text (byte 0x"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused_by_what_it_is(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        read_bytes(tmp_path, name, content)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith((".", "md, .xlsx, .zip, .gz"))


def test_text_that_begins_like_a_binary_file_is_text(tmp_path: Path) -> None:
    for beginning in ("MZ", "BM"):
        assert read_bytes(tmp_path, "rows.csv", f"{beginning},b\n1,2\n".encode()).rows == [{beginning: "1", "b": "2"}]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"There is no file at .*gone\.csv\. Check the path"):
        list(read_source(tmp_path / "gone.csv", images=tmp_path / "images"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(DataProblem, match=r"^There is no file at "):
        read(tmp_path / "rows.csv")


def test_a_file_that_may_not_be_read_is_a_failure_of_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_bytes(csv_of(ROWS))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageFailed, match=r"^rows\.csv could not be read: Permission denied\."):
        read(tmp_path / "rows.csv")


def test_rows_that_are_none_are_told_and_reading_goes_on(tmp_path: Path) -> None:
    source = read_bytes(tmp_path, "rows.jsonl", b'{"a": 1}\n{"a"\n\n[1]\n{"a": 2}\n')
    assert [(item.number, item.row) for item in source.numbered] == [(1, {"a": 1}), (4, {"a": 2})]
    assert source.unreadable == [
        UnreadableRow(row=2, reason="not JSON: Expecting ':' delimiter at character 5", text='{"a"', file="rows.jsonl"),
        UnreadableRow(row=3, reason="a list, not an object", text="[1]", file="rows.jsonl"),
    ]


@pytest.mark.parametrize("suffix", sorted(CONTENTS))
def test_a_reader_that_is_stopped_early_leaves_nothing_behind(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / (f"rows.jsonl{suffix}" if suffix == ".gz" else f"rows{suffix}")
    path.write_bytes(CONTENTS[suffix])
    rows = read_source(path, images=tmp_path / "store" / "images")
    assert isinstance(next(rows), NumberedRow)
    del rows
    assert os.listdir(tmp_path / "store") == []


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "rows.zip").write_bytes(zip_of({"a.csv": csv_of(ROWS), "b.csv": b"a,a\n1,2\n"}))
    with pytest.raises(DataProblem, match=r"rows\.zip/b\.csv has more than one column called 'a'"):
        read(tmp_path / "rows.zip")
    assert os.listdir(tmp_path / "store") == []


def test_every_value_can_be_stored(tmp_path: Path) -> None:
    content = b'{"a": 123456789012345678901234567890, "b": NaN, "c": [null, true, {"d": -Infinity}], "e": "\\u0000"}'
    [row] = read_bytes(tmp_path, "rows.jsonl", content).numbered
    assert row.row == {"a": 123456789012345678901234567890, "b": None, "c": [None, True, {"d": None}], "e": "\0"}
    with RowWriter(tmp_path / "stored") as writer:
        writer.add(row.number, row.row)
        writer.finish(name="rows", source="rows.jsonl", files=["rows.jsonl"], recognition=None)
    assert len(RowStore(tmp_path / "stored")) == 1


def test_jpeg_and_png_bytes_are_told_apart(tmp_path: Path) -> None:
    table = pa.table({"image": [png(), JPEG]})
    pq.write_table(table, tmp_path / "rows.parquet")
    paths = [row["image"]["path"] for row in read(tmp_path / "rows.parquet").rows]
    assert [Path(path).suffix for path in paths] == [".png", ".jpg"]
    assert [(tmp_path / "store" / path).read_bytes() for path in paths] == [png(), JPEG]
