"""A folder as a zip, made while it is sent: nothing is written to disk and little is held in memory."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 1 << 20


class _Pipe(io.RawIOBase):
    """A file that hands on what is written to it."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._chunks.append(chunk)
        return len(chunk)

    def take(self) -> bytes:
        taken, self._chunks = b"".join(self._chunks), []
        return taken


def zip_folder(folder: Path) -> Iterator[bytes]:
    """The bytes of a zip with every file of `folder`; stored, as weights do not compress."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            name = str(path.relative_to(folder))
            with path.open("rb") as source, archive.open(name, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK_BYTES):
                    target.write(chunk)
                    yield pipe.take()
    yield pipe.take()
