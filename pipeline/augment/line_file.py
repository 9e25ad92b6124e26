"""A file of lines that several processes append to and read; a crash costs at most the line being written."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_BLOCK_BYTES = 1 << 16


def append_lines(path: Path, lines: Sequence[str], *, is_durable: bool) -> None:
    """Append whole lines; a durable append is on disk afterwards, whatever happens to the machine."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _drop_unfinished_line(file)
        file.write(b"".join(line.encode() + b"\n" for line in lines))
        file.flush()
        if is_durable:
            os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of the file, none if there is no file. A line still being written is passed over."""
    if path.is_file():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def _drop_unfinished_line(file: BinaryIO) -> None:
    position = end = file.seek(0, os.SEEK_END)
    block = 1
    while position > 0:
        start = max(0, position - block)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            position = start + found + 1
            break
        # Mostly the last byte is the line feed.
        position, block = start, _BLOCK_BYTES
    if position < end:
        file.truncate(position)
