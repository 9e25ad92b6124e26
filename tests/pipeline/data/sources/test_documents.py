"""Plain text and Markdown become rows with one column, and no character within a row changes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.data.sources.reading import read_bytes

line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), min_size=1).filter(
    lambda text: not text.encode().isspace()
)


def texts(folder: Path, name: str, content: str) -> list[str]:
    return [row["text"] for row in read_bytes(folder, name, content.encode()).rows]


@given(st.lists(line, min_size=1, max_size=6))
def test_lines_survive(lines: list[str]) -> None:
    with TemporaryDirectory() as folder:
        assert texts(Path(folder), "rows.txt", "\n".join(lines)) == lines


@given(st.lists(st.lists(line, min_size=1, max_size=3), min_size=2, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_blocks_survive(blocks: list[list[str]], line_end: str) -> None:
    with TemporaryDirectory() as folder:
        wanted = [line_end.join(lines) for lines in blocks]
        assert texts(Path(folder), "rows.txt", (2 * line_end).join(wanted) + line_end) == wanted


def test_blank_lines_at_the_ends_make_no_blocks(tmp_path: Path) -> None:
    assert texts(tmp_path, "rows.txt", "\n\none\n  two  \n\n") == ["one", "  two  "]


def test_sections_of_markdown_stay_together(tmp_path: Path) -> None:
    content = "About\n\n# One\n\nText.\n\n```python\n# a comment\n```\n#hashtag\n\n## Two\r\nMore.\r\n\n"
    assert texts(tmp_path, "rows.md", content) == [
        "About",
        "# One\n\nText.\n\n```python\n# a comment\n```\n#hashtag",
        "## Two\r\nMore.",
    ]


@pytest.mark.parametrize("name", ["rows.txt", "rows.md"])
def test_text_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    pieces = [b"# one \xc3\xa9", b"# two \xe9", b"# three \xc3\xa9", b"# four \0", b"# five"]
    source = read_bytes(tmp_path, name, b"\n\n".join(pieces))
    assert source.reasons == {2: "not UTF-8 text (byte 0xe9)", 4: "it has NUL bytes"}
    assert [row["text"] for row in source.rows] == ["# one é", "# three é", "# five"]


@pytest.mark.parametrize("line_end", [b"", b"\n"])
def test_a_block_over_the_limit_is_told_and_skipped(line_end: bytes, tmp_path: Path) -> None:
    long = (b"x" * 999 + line_end) * (40 << 10)
    source = read_bytes(tmp_path, "rows.txt", b"one\n\n" + long + b"\n\nthree\n")
    assert source.reasons == {2: "longer than 32 MiB"}
    assert [row["text"] for row in source.rows] == ["one", "three"]


def test_a_line_over_the_limit_is_told_and_skipped(tmp_path: Path) -> None:
    source = read_bytes(tmp_path, "rows.txt", b"one\n" + b"x" * (40 << 20) + b"\nthree\n")
    assert source.reasons == {2: "longer than 32 MiB"}
    assert [row["text"] for row in source.rows] == ["one", "three"]


def test_web_pages_are_text_where_text_is_wanted(tmp_path: Path) -> None:
    assert texts(tmp_path, "rows.txt", "<html>\n") == ["<html>"]
