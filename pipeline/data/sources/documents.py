"""Reads plain text and Markdown: each block, line or section becomes a row with one column, `text`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.data.sources.limits import ROW_LIMIT, ROW_LIMIT_BYTES
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.text_encoding import LongLine, not_utf8, open_utf8, read_lines

_HEADING = re.compile(rb"#{1,6}[ \t]")
_FENCE = re.compile(rb" {0,3}(```|~~~)")


def read_text(path: Path, name: str) -> Iterator[Found]:
    """Rows of a .txt: where blank lines part its text into blocks, each block; where it has none, each line.

    The text of a row keeps its spaces and the line ends within it.

    Raises:
        DataProblem: the file as a whole is not Unicode text.
    """
    with open_utf8(path, name) as file:
        has_blocks = _has_blocks(file)
    with open_utf8(path, name) as file:
        if has_blocks:
            yield from _pieces(file, is_markdown=False)
        else:
            for line in read_lines(file):
                if isinstance(line, LongLine):
                    yield line.record()
                elif not line.isspace():
                    yield _row(line)


def read_markdown(path: Path, name: str) -> Iterator[Found]:
    """Rows of a .md: each section with its heading, and the text before the first heading.

    A blank line in Markdown parts paragraphs, not documents, so a section stays together.

    Raises:
        DataProblem: the file as a whole is not Unicode text.
    """
    with open_utf8(path, name) as file:
        yield from _pieces(file, is_markdown=True)


def _has_blocks(file: BinaryIO) -> bool:
    seen_text = seen_gap = False
    for line in read_lines(file):
        if isinstance(line, LongLine) or not line.isspace():
            if seen_gap:
                return True
            seen_text = True
        else:
            seen_gap = seen_text
    return False


def _pieces(file: BinaryIO, *, is_markdown: bool) -> Iterator[Found]:
    piece = _Piece()
    in_code = False
    for line in read_lines(file):
        if isinstance(line, LongLine):
            piece.add(line.beginning, size=ROW_LIMIT_BYTES + 1)
            continue
        if is_markdown:
            in_code ^= bool(_FENCE.match(line))
            is_boundary = not in_code and bool(_HEADING.match(line))
        else:
            is_boundary = line.isspace()
        if is_boundary:
            yield from piece.take()
        if is_markdown or not line.isspace():
            piece.add(line, size=len(line))
    yield from piece.take()


class _Piece:
    """The lines of a row as they are gathered, up to the limit."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes, *, size: int) -> None:
        self._size += size
        if self._size <= ROW_LIMIT_BYTES or not self._lines:
            self._lines.append(line)

    def take(self) -> Iterator[Found]:
        """The row, if there is text in it; the next one begins empty."""
        text, size = b"".join(self._lines), self._size
        self._lines, self._size = [], 0
        if size > ROW_LIMIT_BYTES:
            yield bad_text(f"longer than {ROW_LIMIT}", text)
        elif text and not text.isspace():
            yield _row(text)


def _row(content: bytes) -> Found:
    if b"\0" in content:
        return bad_text("it has NUL bytes", content)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return bad_text(not_utf8(error), content)
    return Record({"text": text.strip("\r\n")})
