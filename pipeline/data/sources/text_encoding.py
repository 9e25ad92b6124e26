"""Opens text as UTF-8, whichever Unicode encoding its byte order mark tells, and reads it by lines of a bounded length.

Other encodings are refused, not guessed: a wrong guess alters text without a sign.
"""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.data.sources.limits import ROW_LIMIT, ROW_LIMIT_BYTES
from pipeline.data.sources.records import BadRecord, bad_text
from pipeline.errors import DataProblem

_BUFFER_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 20
# Longest first: UTF-32's mark begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Under this share, bad lines are faults of single rows; above, the file has another encoding.
_MOST_BAD_LINES = 0.1


class LongLine(NamedTuple):
    """A line over the limit: its beginning. The rest has been skipped."""

    beginning: bytes

    def record(self) -> BadRecord:
        """What stands in the place of the row."""
        return bad_text(f"longer than {ROW_LIMIT}", self.beginning)


def encoding_of(head: bytes) -> str:
    """The encoding that the byte order mark tells; UTF-8 without one."""
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), "utf-8")


def open_utf8(path: Path, name: str) -> BinaryIO:
    """The file's text as UTF-8 bytes without a byte order mark. Single lines may still not be UTF-8.

    Raises:
        DataProblem: the file as a whole is not Unicode text.
    """
    file = path.open("rb", buffering=_BUFFER_BYTES)
    try:
        sample = file.read(_SAMPLE_BYTES)
        encoding = encoding_of(sample)
        if encoding in ("utf-16", "utf-32"):
            file.seek(0)
            return io.BufferedReader(_Transcoder(file, encoding), _BUFFER_BYTES)
        _refuse_other_encodings(sample, name)
        file.seek(len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
        return file
    except BaseException:
        file.close()
        raise


def open_text(path: Path, name: str) -> io.TextIOWrapper:
    """The file's text with its line ends as they are. A byte that is not UTF-8 becomes a lone surrogate."""
    return io.TextIOWrapper(open_utf8(path, name), encoding="utf-8", errors="surrogateescape", newline="")


def read_lines(file: BinaryIO) -> Iterator[bytes | LongLine]:
    """The lines with their ends. No more than the limit is ever held in memory."""
    while line := file.readline(ROW_LIMIT_BYTES):
        if len(line) < ROW_LIMIT_BYTES or line.endswith(b"\n"):
            yield line
            continue
        yield LongLine(line[:_SAMPLE_BYTES])
        while (rest := file.readline(_BUFFER_BYTES)) and not rest.endswith(b"\n"):
            pass


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why a row cannot be read, naming the byte."""
    return f"not UTF-8 text (byte {error.object[error.start]:#04x})"


def bad_byte(text: str) -> str | None:
    """Why text from `open_text` is none; None where it is sound."""
    if text.isascii():
        return "it has NUL bytes" if "\0" in text else None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"not UTF-8 text (byte {ord(text[error.start]) - 0xDC00:#04x})"
    return "it has NUL bytes" if "\0" in text else None


class _Transcoder(io.RawIOBase):
    """Reads another Unicode encoding as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._ready:
            chunk = self._file.read(_BUFFER_BYTES)
            self._ready = self._decoder.decode(chunk, final=not chunk).encode()
            if not chunk:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _refuse_other_encodings(sample: bytes, name: str) -> None:
    lines = sample.splitlines()
    foreign = [line for line in lines if not line.isascii()]
    errors = [error for line in foreign if (error := _decoding_error(line))]
    # The sample, or a file that is cut off, may end within a character.
    if errors and errors[-1].object == lines[-1] and errors[-1].reason == "unexpected end of data":
        errors.pop()
    if len(errors) > len(foreign) / 2 and len(errors) > _MOST_BAD_LINES * len(lines):
        raise DataProblem(
            f"{name} is {not_utf8(errors[0])}: {len(errors):,} of its first {len(lines):,} lines cannot be read. "
            "Save it as UTF-8 (in Excel: CSV UTF-8)."
        )


def _decoding_error(line: bytes) -> UnicodeDecodeError | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error
    return None
