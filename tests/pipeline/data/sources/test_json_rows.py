"""JSON Lines and JSON documents come out as they went in, whatever their layout; faults are told by row."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import read, read_bytes

# JSON text holds every character but half of one.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
rows_of_anything = st.lists(st.dictionaries(text, values, min_size=1, max_size=4), min_size=1, max_size=6)


@given(rows_of_anything, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_json_lines_survive(rows: list[dict[str, Any]], escaped: bool, line_end: str) -> None:
    with TemporaryDirectory() as folder:
        lines = line_end.join(json.dumps(row, ensure_ascii=escaped) for row in rows)
        assert read_bytes(Path(folder), "rows.jsonl", lines.encode()).rows == rows


@given(rows_of_anything, st.sampled_from([None, 2]), st.booleans())
def test_json_lists_survive(rows: list[dict[str, Any]], indent: int | None, escaped: bool) -> None:
    with TemporaryDirectory() as folder:
        document = json.dumps(rows, ensure_ascii=escaped, indent=indent)
        assert read_bytes(Path(folder), "rows.json", document.encode()).rows == rows


@given(rows_of_anything, st.sampled_from(["data", "rows", "items"]))
def test_json_lists_within_an_object_survive(rows: list[dict[str, Any]], member: str) -> None:
    with TemporaryDirectory() as folder:
        document = json.dumps({"version": "1.0", "info": {"by": "me"}, member: rows, "count": len(rows)})
        assert read_bytes(Path(folder), "rows.json", document.encode()).rows == rows


@given(rows_of_anything)
def test_json_survives_the_edges_of_what_is_loaded_at_once(rows: list[dict[str, Any]]) -> None:
    """Padding moves the rows over the border between two chunks of the reader."""
    document = json.dumps(rows).encode()
    with TemporaryDirectory() as folder:
        halfway = b" " * ((1 << 20) - len(document) // 2)
        assert read_bytes(Path(folder), "rows.json", halfway + document).rows == rows


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_character_over_the_edge_of_a_sample_is_one_character(name: str, offset: int, tmp_path: Path) -> None:
    row = {"a": "x" * offset + "😀" * 600_000}
    content = json.dumps([row] if name == "rows.json" else row, ensure_ascii=False)
    assert read_bytes(tmp_path, name, content.encode()).rows == [row]


@pytest.mark.parametrize("missing", range(1, 12))
def test_a_value_over_the_edge_of_a_chunk_is_one_value(missing: int, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": 1.5e-07}, {"a": True}, {"a": "😀"}, {"a": None}]
    for row in rows:
        document = json.dumps([row])
        padding = " " * ((1 << 20) - len(document) + missing)
        assert read_bytes(tmp_path, "rows.json", (padding + document).encode()).rows == [row]
        # A number by itself is a member's value.
        about = '{"version": ' + " " * ((1 << 20) - 20 - missing) + '1.5e-07, "data": ' + document + "}"
        assert read_bytes(tmp_path, "rows.json", about.encode()).rows == [row]


def test_a_number_over_the_edge_of_a_chunk_is_one_number(tmp_path: Path) -> None:
    beginning = b'[{"a": 1}, 12'
    content = b" " * ((1 << 20) - len(beginning)) + beginning + b'34, {"a": 2}]'
    source = read_bytes(tmp_path, "rows.json", content)
    assert source.reasons == {2: "a number, not an object"}
    assert source.unreadable[0].text == "1234"


def test_splits_of_an_object_are_kept(tmp_path: Path) -> None:
    source = read_bytes(
        tmp_path, "rows.json", b'{"train": [{"a": 1}, {"a": 2}], "dev": [{"a": 3}], "test": [{"a": 4}]}'
    )
    assert [(item.number, item.split, item.row["a"]) for item in source.numbered] == [
        (1, "train", 1),
        (2, "train", 2),
        (3, "validation", 3),
        (4, "test", 4),
    ]


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ('{"a": [1, 2], "b": ["x", "y"]}', [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ('{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}', [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ('{"q7": {"a": 1}, "q9": {"a": 2}}', [{"id": "q7", "a": 1}, {"id": "q9", "a": 2}]),
        ('{"turns": [[{"x": 1}], []], "n": [1, 2]}', [{"turns": [{"x": 1}], "n": 1}, {"turns": [], "n": 2}]),
    ],
)  # fmt: skip
def test_columns_become_rows(document: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "rows.json", document.encode()).rows == rows


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.ndjson"])
@pytest.mark.parametrize("document", ['{"a": 1}\n{"a": 2}\n', '[{"a": 1},\n {"a": 2}]', '[{"a": 1}, {"a": 2}]'])
def test_lines_and_lists_are_told_by_content(name: str, document: str, tmp_path: Path) -> None:
    assert read_bytes(tmp_path, name, document.encode()).rows == [{"a": 1}, {"a": 2}]


def test_a_single_line_is_a_row_where_the_name_says_lines(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "rows.jsonl", b'{"a": [1, 2]}').rows == [{"a": [1, 2]}]


def test_unicode_line_separators_part_no_lines(tmp_path: Path) -> None:
    rows = [{"a": "x\u2028y\u2029z\x85\x0b\x0c"}, {"a": "é"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).replace("\x0b\x0c", "\\u000b\\u000c")
    content = content.replace("\\u000b\\f", "\\u000b\\u000c")
    assert read_bytes(tmp_path, "rows.jsonl", content.encode()).rows == rows


def test_integers_beyond_64_bits_keep_their_digits(tmp_path: Path) -> None:
    numbers = [2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30]
    content = "\n".join(f'{{"n": {number}}}' for number in numbers).encode()
    assert [row["n"] for row in read_bytes(tmp_path, "rows.jsonl", content).rows] == numbers
    document = json.dumps([{"n": number} for number in numbers]).encode()
    assert [row["n"] for row in read_bytes(tmp_path, "rows.json", document).rows] == numbers


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not JSON: Expecting ',' delimiter at character 8"),
        (b"{'a': 1}", "not JSON: Expecting property name enclosed in double quotes at character 2"),
        (b'{"a": "caf\xe9"}', "not UTF-8 text (byte 0xe9)"),
        (b'{"a": "\0"}', "it has NUL bytes"),
        (b'{"a": "\\ud83d"}', "half of a character (a \\ud83d without its other half)"),
        (b'{"a": "\\uDE00"}', "half of a character (a \\ud83d without its other half)"),
        (b'"text"', "a text, not an object"),
        (b"3", "a number, not an object"),
        (b"null", "null, not an object"),
        (b"true", "true or false, not an object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number with thousands of digits"),
    ],
)
def test_a_line_that_is_no_row_is_told_by_its_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    good = b'{"a": "\xc3\xa9"}\n'
    source = read_bytes(tmp_path, "rows.jsonl", good * 2 + line + b"\n" + good)
    assert source.reasons == {3: reason}
    assert source.rows == [{"a": "é"}] * 3


def test_a_line_of_200_mb_is_skipped_without_being_loaded(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n' * 1000 + b'{"a": "')
        # A hole in the file: it takes no room on the disk, and reads as zeros.
        file.seek(200 << 20, 1)
        file.write(b'"}\n{"a": 2}\n')
    source = read(path)
    assert source.rows == [{"a": 1}] * 1000 + [{"a": 2}]
    assert source.reasons == {1001: "longer than 32 MiB"}
    assert source.unreadable[0].text.startswith('{"a": "')
    assert len(source.unreadable[0].text) <= 2000


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ('[{"a": 1}, {"a": ', "rows.json is cut off in row 2: it ends in the middle."),
        ('[{"a": 1}, {"a": "hel', "rows.json is cut off in row 2: it ends in the middle."),
        ('[{"a": 1}, {"a": 2}', "rows.json is cut off in row 2: it ends in the middle."),
        ('[{"a": 1},', "rows.json is cut off in row 2: it ends in the middle."),
        ("[", "rows.json is cut off in row 1: it ends in the middle."),
        ('{"data": [{"a": 1}', "rows.json is cut off in row 1: it ends in the middle."),
        ('{"data"', "rows.json is cut off: it ends in the middle."),
        ('[{"a": 1, }]', "rows.json is not JSON in row 1: Expecting property name enclosed in double quotes"),
        ('[{"a": treu}]', "rows.json is not JSON in row 1: Expecting value before 'treu}]'."),
        ('[{"a": tr', "rows.json is cut off in row 1"),
        ('[{"a": "\\ud83d\\u00', "rows.json is cut off in row 1"),
        ('{"test": [{"a": 1}], "train": [{"a": 2}, {"a": ', "rows.json is cut off in row 3: it ends in the middle."),
        ('[{"a": 1} {"a": 2}, ' + '{"a": 3}, ' * 20 + "]", "rows.json is not JSON in row 1: ',' is missing before '{"),
        ('[{"a" 1}, ' + '{"a": 3}, ' * 20 + "]", "rows.json is not JSON in row 1: Expecting ':' delimiter before '1"),
        ('[{"a": 1}\n]\n[{"a": 2}]', "rows.json has more after its end: '[{\"a\": 2}]'."),
        ('{\n"a": 1}\n{\n"a": 2}', "rows.json holds one object with 'a', not a list of rows."),
        ("hello", "rows.json is not JSON: it begins with 'hello'."),
        ('{"prompt": "a", "completion": "b"}', "rows.json holds one object with 'prompt', 'completion', not a list of"),
        ("{}", "rows.json holds one object with nothing, not a list of rows."),
        ('{"a": [1, 2], "b": [1]}', "The columns of rows.json have different numbers of values (a: 2, b: 1)."),
        ('{"images": [{"a": 1}], "categories": [{"a": 1}]}', "rows.json holds several lists, 'images' and"),
        ('{"train": [{"a": 1}], "other": [{"a": 1}]}', "rows.json holds several lists, 'train' and 'other'."),
        ('{"meta": [{"a": 1}], "text": ["x"]}', "rows.json holds several lists, 'meta' and 'text'."),
        ("[" * 200_000, "rows.json is not JSON in row 1: it is nested too deeply."),
        ('[{"a": ' + "9" * 5000 + "}]", "rows.json is not JSON in row 1: it has a number with thousands of digits."),
    ],
)  # fmt: skip
def test_a_document_that_is_no_data_set_is_refused(document: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        read_bytes(tmp_path, "rows.json", document.encode())
    assert str(caught.value).startswith(sentence)


@given(rows_of_anything, st.integers(min_value=1, max_value=200))
def test_a_document_that_is_cut_off_is_always_refused(rows: list[dict[str, Any]], missing: int) -> None:
    document = json.dumps(rows)
    with TemporaryDirectory() as folder, pytest.raises(DataProblem, match="is cut off|is empty"):
        read_bytes(Path(folder), "rows.json", document[: max(0, len(document) - missing)].encode())


def test_bad_bytes_in_a_document_cost_their_row(tmp_path: Path) -> None:
    lines = b",\n".join([b'{"a": "\xc3\xa9"}', b'{"a": "\xe9"}', b'{"a": "\xc3\xa9"}'])
    source = read_bytes(tmp_path, "rows.json", b"[" + lines + b"]")
    assert source.reasons == {2: "not UTF-8 text (byte 0xe9)"}
    assert source.rows == [{"a": "é"}, {"a": "é"}]


def test_a_value_that_never_ends_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'[{"a": 1}, {"a": "' + b"x" * (80 << 20))
    with pytest.raises(
        DataProblem, match=r"has a value of more than 32 MiB, or one that is never closed, after row 1\."
    ):
        read(path)
