"""Reads whole sources, and makes the small files that the tests of the readers need."""

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data.row_store import NumberedRow, UnreadableRow
from pipeline.data.sources import read_source


class Source(NamedTuple):
    """All that a source holds."""

    numbered: list[NumberedRow]
    unreadable: list[UnreadableRow]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [item.row for item in self.numbered]

    @property
    def reasons(self) -> dict[int, str]:
        return {item.row: item.reason for item in self.unreadable}

    @property
    def splits(self) -> list[str]:
        return [item.split for item in self.numbered]


def read(path: Path, *, name: str | None = None, store: Path | None = None) -> Source:
    """Read a source, with the folder `images` in `store`, or in a folder beside the source."""
    store = path.parent / "store" if store is None else store
    items = list(read_source(path, name=name, images=store / "images"))
    assert [item.name for item in store.iterdir() if item.name != "images"] == []
    return Source(
        [item for item in items if isinstance(item, NumberedRow)],
        [item for item in items if isinstance(item, UnreadableRow)],
    )


def read_bytes(folder: Path, name: str, content: bytes) -> Source:
    """Write a file, and read it."""
    path = folder / name
    path.write_bytes(content)
    return read(path)


def png(shade: int = 0) -> bytes:
    """A picture of one grey pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
