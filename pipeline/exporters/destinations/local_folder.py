"""Delivery to a folder: copied beside its place, checked, and put there at once; never half a file."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.data.fetch.transfer import RESERVE_BYTES
from pipeline.errors import StorageFailed
from pipeline.exporters.destinations import DeliveredFile, DeliveryProgress
from pipeline.exporters.destinations.address import Destination

_CHUNK_BYTES = 4 << 20
# Beside its file: the same disk, and the name of a file that a killed copy left is known to the next one.
_PARTIAL = ".partial"


def deliver(
    files: Mapping[str, DeliveredFile],
    destination: Destination,
    *,
    private: bool,
    commit_message: str,
    progress: DeliveryProgress,
) -> str:
    """Copy the files into the folder, which is made where it is missing; its path is returned.

    Raises:
        StorageFailed: the disk is too small or cannot be written, or a file changed while it was copied.
    """
    folder = Path(destination.path)
    try:
        missing = {path: file for path, file in files.items() if not _is_there(folder / path, file)}
        _require_room(folder, sum(file.size_bytes for file in missing.values()))
        total = sum(file.size_bytes for file in files.values())
        done = total - sum(file.size_bytes for file in missing.values())
        progress(done, total)
        for path, file in files.items():
            place = folder / path
            partial = place.with_name(place.name + _PARTIAL)
            if path not in missing:
                partial.unlink(missing_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            done = _copy(file, partial, total=total, done=done, progress=progress)
            partial.replace(place)
            _sync_folder(place.parent)
    except OSError as error:
        raise StorageFailed(
            f"{folder} cannot be written: {error.strerror}. Make room, correct its rights or choose another folder, "
            "then try again; files that are whole are kept."
        ) from error
    return str(folder)


def _is_there(place: Path, file: DeliveredFile) -> bool:
    if not place.is_file() or place.stat().st_size != file.size_bytes:
        return False
    with place.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def _require_room(folder: Path, needed: int) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free - RESERVE_BYTES
    if needed > free:
        raise StorageFailed(
            f"The files need {needed / 1e9:,.1f} GB more at {existing}, and {max(0, free) / 1e9:,.1f} GB can be used "
            "there. Make room, or choose a folder on another disk."
        )


def _copy(file: DeliveredFile, partial: Path, *, total: int, done: int, progress: DeliveryProgress) -> int:
    digest = hashlib.sha256()
    with file.source.open("rb") as source, partial.open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            target.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != file.sha256:
        partial.unlink()
        raise StorageFailed(f"{file.source.name} changed while it was copied. Export it again, then deliver it.")
    return done


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
