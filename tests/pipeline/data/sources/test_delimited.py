"""Tables of text keep every character of every cell, whatever stands between the cells."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import read, read_bytes

# Text has no NUL byte, and no half of a character.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def table(rows: list[tuple[str, ...]], *, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)
    return file.getvalue().encode()


@given(
    st.lists(st.tuples(text, text), min_size=1, max_size=6),
    st.sampled_from([("rows.csv", ","), ("rows.tsv", "\t"), ("rows.csv", ";"), ("rows.csv", "\t"), ("rows.csv", "|")]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_cell_survives(rows: list[tuple[str, str]], kind: tuple[str, str], quoting: int) -> None:
    name, delimiter = kind
    with TemporaryDirectory() as folder:
        content = table([("prompt", "completion"), *rows], delimiter=delimiter, quoting=quoting)
        source = read_bytes(Path(folder), name, content)
        assert [(row["prompt"], row["completion"]) for row in source.rows] == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_are_told_by_their_marks(encoding: str, tmp_path: Path) -> None:
    content = "prompt,completion\n" + "héllo,😀\n" * 50_000
    source = read_bytes(tmp_path, "rows.csv", content.encode(encoding))
    assert source.rows == [{"prompt": "héllo", "completion": "😀"}] * 50_000


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_commas_semicolons_and_bars_in_texts_part_no_cells(delimiter: str, tmp_path: Path) -> None:
    rows = [
        ("question", "answer"),
        ("Red, green, or blue?", "Red; green | both, then"),
        ("a;b;c", "1|2|3,4"),
        ("one\ttwo", "None; really, none"),
    ]
    source = read_bytes(tmp_path, "rows.csv", table(rows, delimiter=delimiter))
    assert [tuple(row.values()) for row in source.rows] == rows[1:]


def test_a_delimiter_in_the_header_is_no_delimiter_where_the_rows_say_so(tmp_path: Path) -> None:
    content = b"question, if any;answer\nWhat, me?;No\nWho?;You, of course, you\nWhy;x\n"
    assert read_bytes(tmp_path, "rows.csv", content).rows[0] == {"question, if any": "What, me?", "answer": "No"}


def test_equally_good_delimiters_are_told_by_the_blank_after_one(tmp_path: Path) -> None:
    content = b"question, if any;answer\nWhat, me?;No\n"
    assert read_bytes(tmp_path, "rows.csv", content).rows == [{"question, if any": "What, me?", "answer": "No"}]


def test_one_column_is_a_table(tmp_path: Path) -> None:
    source = read_bytes(tmp_path, "rows.csv", b'text\n"a, b; c"\nd;e\n')
    assert source.rows == [{"text": "a, b; c"}, {"text": "d;e"}]


def test_one_column_of_prose_needs_no_quotes(tmp_path: Path) -> None:
    content = b'text\nHello, world\nYes; no, "maybe"\n"Well," she said\nWord\n'
    rows = read_bytes(tmp_path, "rows.csv", content).rows
    assert [row["text"] for row in rows] == ["Hello, world", 'Yes; no, "maybe"', '"Well," she said', "Word"]


def test_tabs_without_quoting_leave_quotes_alone(tmp_path: Path) -> None:
    content = b'prompt\tcompletion\n"Hi" she said\t"Well"\n"open\tclosed\n'
    assert read_bytes(tmp_path, "rows.tsv", content).rows == [
        {"prompt": '"Hi" she said', "completion": '"Well"'},
        {"prompt": '"open', "completion": "closed"},
    ]


def test_cells_are_never_taken_for_numbers_or_null(tmp_path: Path) -> None:
    [row] = read_bytes(tmp_path, "rows.csv", b"a,b,c,d,e\n007,1e5,null,, x \n").rows
    assert row == {"a": "007", "b": "1e5", "c": "null", "d": "", "e": " x "}


def test_line_ends_in_cells_survive_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    source = read_bytes(tmp_path, "rows.csv", b'a,b\r\n"x\r\ny","z\rw\n"\r\n\r\n1,2\r\n')
    assert source.rows == [{"a": "x\r\ny", "b": "z\rw\n"}, {"a": "1", "b": "2"}]


def test_columns_without_a_name_are_called_by_their_place(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "rows.csv", b", prompt ,\n0,a,b\n").rows == [
        {"column_1": "0", "prompt": "a", "column_3": "b"}
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "1 cell where the header has 2"),
        (b"1,2,3", "3 cells where the header has 2 (put quotes around a cell that holds ',')"),
        (b'"a"b,2', 'a quote within a quoted cell is not doubled (write "")'),
        (b"caf\xe9,2", "not UTF-8 text (byte 0xe9)"),
        (b"a\0b,2", "it has NUL bytes"),
    ],
)
def test_a_record_that_is_no_row_is_told_by_its_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    source = read_bytes(tmp_path, "rows.csv", b"a,b\n" + b"\xc3\xa9,2\n" * 3 + line + b"\n1,2\n")
    assert source.reasons == {4: reason}
    assert source.unreadable[0].text == line.decode(errors="replace")
    assert [item.number for item in source.numbered] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b,a\n1,2,3\n", "rows.csv has more than one column called 'a'. Give every column a name of its own."),
        (b",,\n1,2,3\n", "The first line of rows.csv names no column. Write the columns' names into it."),
        (b"a\xe9,b\n" + b"\xc3\xa9,1\n" * 20, "The header of rows.csv is not UTF-8 text (byte 0xe9). Save the file as"),
        (b'"a"b,c\n1,2\n', "The header of rows.csv is not readable: a quote within a quoted cell is not doubled"),
        (b'a,b\n1,2\n"open,2\n3,4\n', "rows.csv has a quote in the record at line 3 that is never closed."),
        (b"c," * 9_999 + b"c\n" + b"1," * 9_999 + b"1\n", "rows.csv has 10,000 columns; at most 2,000 are read."),
        (b"a,b\n" + "café,naïve\n".encode("cp1252") * 9, "rows.csv is not UTF-8 text (byte 0xe9): 9 of its first 10"),
        ("a,b\n1,2\n".encode("utf-16") + b"\0", "rows.csv is not the Unicode text that it begins as. Save it as"),
    ],
)  # fmt: skip
def test_a_table_that_is_unusable_as_a_whole_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        read_bytes(tmp_path, "rows.csv", content)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("beginning", "sentence"),
    [
        (b"a,b\n1,", r"Line 2 of rows\.csv is longer than 32 MiB"),
        (b'a,b\n1,"', r"Line 2 of rows\.csv is longer than 32 MiB"),
    ],
)
def test_a_line_of_40_mb_is_refused(beginning: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(beginning + b"x" * (40 << 20))
    with pytest.raises(DataProblem, match=sentence):
        read(tmp_path / "rows.csv")


def test_a_quote_that_swallows_the_file_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b'a,b\n1,"2\n' + (b"x" * 99 + b",y\n") * 400_000)
    with pytest.raises(DataProblem, match=r"a quote in the record at line 2 that is never closed"):
        read(tmp_path / "rows.csv")


def test_a_cell_of_a_megabyte_is_a_cell(tmp_path: Path) -> None:
    long = "word, " * 200_000
    assert read_bytes(tmp_path, "rows.csv", table([("a", "b"), ("1", long)])).rows == [{"a": "1", "b": long}]
