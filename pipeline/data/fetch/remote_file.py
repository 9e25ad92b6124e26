"""RemoteFile: a file elsewhere that can be read from any byte on, and where it may lie here."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataProblem


@dataclass(frozen=True)
class Body:
    """Bytes on their way; `start` is the offset of the first one, which a server may have chosen itself."""

    start: int
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class RemoteFile:
    """A file elsewhere. `open` takes the first byte and the one after the last; None is the end of the file.

    `name` is its path below the source. `tag` changes with the content; without one, nothing can be gone on from.
    `has_ranges` is whether a part can be asked for, or only the whole. `checksum` is `sha256:…`, or `git:…` as Git
    names a blob.
    """

    name: str
    open: Callable[[int, int | None], AbstractContextManager[Body]]
    size: int | None = None
    tag: str | None = None
    has_ranges: bool = True
    checksum: str | None = None

    @property
    def is_resumable(self) -> bool:
        """Whether what is here of it may be gone on from."""
        return self.has_ranges and self.tag is not None and self.size is not None


def place_below(folder: Path, name: str) -> Path:
    """Where a file with this name lies in `folder`.

    Raises:
        DataProblem: the name leads out of the folder.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or re.search(r"[\x00-\x1f\x7f\\]", part) for part in parts):
        raise DataProblem(f"The source has a file named {name!r}, which is not a safe name. It is not fetched.")
    return folder.joinpath(*parts)
