"""RangeReader: a remote file as a file to read and seek in, of which only what is read is fetched."""

import io
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.data.fetch.remote_file import RemoteFile
from pipeline.data.fetch.retry import WAITS_SECONDS, TryAgain, wait_after

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What small reads fetch grows as long as they go on from one place: few bytes for a look, few requests for much. Who
# reads more at once knows what it wants, and gets no more.
FIRST_WINDOW_BYTES = 128 << 10
LARGEST_WINDOW_BYTES = 8 << 20


class RangeReader(io.RawIOBase):
    """Reads a remote file whose size is known, by ranges; `told` is called with the count of bytes that have come.

    Raises, from `readinto`:
        StorageFailed: the server failed too often.
    """

    def __init__(
        self, remote: RemoteFile, *, told: Callable[[int], None], waits: Sequence[float] = WAITS_SECONDS
    ) -> None:
        super().__init__()
        if remote.size is None:
            raise ValueError(f"the size of {remote.name} is not known")
        self._remote = remote
        self._size = remote.size
        self._told = told
        self._waits = waits
        self._position = 0
        self._window = b""
        self._window_start = 0
        self._window_size = FIRST_WINDOW_BYTES

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill `buffer` with what comes next; 0 at the end of the file."""
        view = memoryview(buffer).cast("B")
        inside = self._position - self._window_start
        if not 0 <= inside < len(self._window):
            self._fetch(len(view), goes_on=bool(self._window) and inside == len(self._window))
            inside = 0
        part = self._window[inside : inside + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _fetch(self, wanted: int, *, goes_on: bool) -> None:
        self._window_size = min(2 * self._window_size, LARGEST_WINDOW_BYTES) if goes_on else FIRST_WINDOW_BYTES
        start = self._position
        end = min(self._size, start + (wanted if wanted > FIRST_WINDOW_BYTES else self._window_size))
        self._window, self._window_start = b"", start
        failures = 0
        while start < end and not self._window:
            try:
                self._window = self._receive(start, end)
            except TryAgain as error:
                failures += 1
                time.sleep(wait_after(error, failures, waits=self._waits, what=self._remote.name))

    def _receive(self, start: int, end: int) -> bytes:
        content = bytearray()
        with self._remote.open(start, end) as body:
            if body.start != start:
                raise TryAgain("another part of the file came than was asked for")
            for chunk in body.chunks:
                content += chunk
                self._told(len(chunk))
                if len(content) > end - start:
                    break
        if len(content) < end - start:
            raise TryAgain("the connection ended early")
        return bytes(content[: end - start])
