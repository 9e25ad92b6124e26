"""Rows come out of files as they went in; what cannot be read is named by its row."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data_files import read_rows
from pipeline.errors import DataProblem

# The characters that one file cannot hold in the other's place: JSON refuses lone surrogates, CSV the NUL byte.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(st.lists(st.dictionaries(text, text, min_size=1, max_size=4), min_size=1, max_size=8))
def test_jsonl_and_json_keep_every_character(rows: list[dict[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        lines, whole = Path(folder) / "rows.jsonl", Path(folder) / "rows.json"
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        whole.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        assert [row for _, row in read_rows(lines)] == rows
        assert [row for _, row in read_rows(whole)] == rows


@given(st.lists(st.tuples(text, text), min_size=1, max_size=8))
def test_csv_keeps_every_character(rows: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(("prompt", "completion"))
            writer.writerows(rows)
        assert [(row["prompt"], row["completion"]) for _, row in read_rows(path)] == rows


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.txt", b"hi", "rows.txt is a .txt file. Give one of"),
        ("rows", b"hi", "rows is a file without an ending"),
        ("rows.jsonl", b"", "rows.jsonl has no rows"),
        ("rows.jsonl", b"\n\n", "rows.jsonl has no rows"),
        ("rows.json", b" ", "rows.json has no rows"),
        ("rows.csv", b"a,b\n", "rows.csv has no rows"),
        ("rows.jsonl", b'{"a": 1}\n{"a"\n', "Row 2 of rows.jsonl is not JSON"),
        ("rows.jsonl", b"[1]\n", "Row 1 of rows.jsonl is a list, not an object"),
        ("rows.json", b'{"a": 1}', "rows.json holds one dict. It must hold a list"),
        ("rows.csv", b"a,b\n1,2\n1,2,3\n", "Row 2 of rows.csv has more cells than the header"),
        ("rows.jsonl", b'{"a": "\xff"}\n', "rows.jsonl is not UTF-8 text (byte 0xff)"),
        ("rows.json", b"[" * 100_000, "rows.json is nested too deeply"),
    ],
)
def test_unreadable_file_is_a_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataProblem) as caught:
        list(read_rows(path))
    assert sentence in str(caught.value)


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="There is no file at"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt,completion\r\nhi,ho\r\n")
    assert list(read_rows(path)) == [(1, {"prompt": "hi", "completion": "ho"})]
