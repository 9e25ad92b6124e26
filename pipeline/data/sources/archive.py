"""Unpacks .zip and .gz into a folder, believing nothing that they say of themselves."""

import gzip
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeline.data.sources.limits import Expansion
from pipeline.errors import DataProblem

ARCHIVE_SUFFIXES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst")
_MOST_MEMBERS = 500_000
_CHUNK_BYTES = 1 << 20
# Left free, so that the database and running jobs can go on writing.
_RESERVE_BYTES = 1 << 30
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1
# What the standard library raises over the content of archives.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
_DAMAGED_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


def unpack_zip(path: Path, name: str, folder: Path, *, is_wanted: Callable[[PurePosixPath], bool]) -> None:
    """Unpack the wanted files of a zip into `folder`.

    Raises:
        DataProblem: the zip is damaged, encrypted, holds another archive, names a place outside of itself, or unpacks
            to too much.
    """
    expansion = Expansion(name, path.stat().st_size, room=_room(folder))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, name)
            for member in members:
                inside = PurePosixPath(member.filename)
                if not member.is_dir() and is_wanted(inside):
                    with archive.open(member) as packed:
                        _copy(packed, folder / inside, expansion)
    except DAMAGED_ZIP as error:
        raise DataProblem(f"{name} is a damaged zip: {str(error).lower()}. Pack or download it again.") from error
    except OSError as error:
        raise DataProblem(
            f"{name} could not be unpacked: {error.strerror} ({PurePosixPath(member.filename).name[:60]}). "
            "Free some space, or pack the files again under shorter names."
        ) from error


def unpack_gzip(path: Path, name: str, target: Path) -> None:
    """Unpack a .gz to the file `target`.

    Raises:
        DataProblem: it is damaged or unpacks to too much.
    """
    expansion = Expansion(name, path.stat().st_size, room=_room(target.parent))
    try:
        with gzip.open(path) as packed:
            _copy(packed, target, expansion)
    except _DAMAGED_GZIP as error:
        raise DataProblem(f"{name} is a damaged .gz, or is cut off. Compress or download it again.") from error
    except OSError as error:
        raise DataProblem(f"{name} could not be unpacked: {error.strerror}. Free some space.") from error


def _check_members(members: list[zipfile.ZipInfo], name: str) -> None:
    if len(members) > _MOST_MEMBERS:
        raise DataProblem(f"{name} holds {len(members):,} files; at most {_MOST_MEMBERS:,} are read. Give a part.")
    for member in members:
        inside = member.filename.replace("\\", "/")
        if inside.startswith("/") or ".." in inside.split("/") or _DRIVE.match(inside):
            raise DataProblem(
                f"{name} holds {member.filename!r}, a place outside of the zip; only a zip made to do harm or by "
                "mistake has that. Pack the files again from within their folder."
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataProblem(f"{name} holds {member.filename!r}, which is a link. Pack the file that it points to.")
        if member.flag_bits & _ENCRYPTED:
            raise DataProblem(f"{name} is protected by a password. Unpack it, and pack it again without one.")
        if PurePosixPath(inside).suffix.lower() in ARCHIVE_SUFFIXES:
            raise DataProblem(
                f"{name} holds another archive, {member.filename!r}. Unpack that one, and pack its files instead."
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataProblem(f"{name} is compressed in an unusual way. Pack it again as an ordinary zip.")
    repeated = [file for file, count in Counter(member.filename for member in members).items() if count > 1]
    if repeated:
        raise DataProblem(f"{name} holds {repeated[0]!r} more than once. Pack the files again.")


def _copy(packed: _Readable, target: Path, expansion: Expansion) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        while chunk := packed.read(_CHUNK_BYTES):
            expansion.add(len(chunk))
            file.write(chunk)


def _room(folder: Path) -> int:
    return max(0, shutil.disk_usage(folder).free - _RESERVE_BYTES)
