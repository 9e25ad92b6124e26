"""Transfers remote files to this disk: resumed, tried again, counted, checked, several at a time."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from pipeline.data.fetch.progress import Progress, Tally
from pipeline.data.fetch.remote_file import Body, RemoteFile, place_below
from pipeline.data.fetch.retry import WAITS_SECONDS, TryAgain, wait_after
from pipeline.errors import StorageFailed

# Left free on the disk, for the database and for everything else that runs here.
RESERVE_BYTES = 512 << 20
AT_ONCE = 4
_LOOK_AT_DISK_BYTES = 64 << 20
_HASH_CHUNK_BYTES = 1 << 20


class _Stopped(Exception):
    """Another transfer has failed, so that this one is of no use."""


@dataclass
class _Shared:
    tally: Tally
    waits: Sequence[float]
    stopped: Event = field(default_factory=Event)

    def wait(self, name: str, error: TryAgain, failures: int) -> None:
        seconds = wait_after(error, failures, waits=self.waits, what=name)
        self.tally.say(f"Waiting {seconds:.3g} s: {error}")
        if self.stopped.wait(seconds):
            raise _Stopped


def transfer_all(
    remotes: Mapping[str, RemoteFile], folder: Path, *, progress: Progress, waits: Sequence[float] = WAITS_SECONDS
) -> dict[str, Path]:
    """Bring the files into `folder`, each at its key, a relative path. Returns where they lie.

    What an earlier attempt left there is used: complete files as they are, parts from their last byte on.

    Raises:
        DataProblem: a key leads out of the folder.
        StorageFailed: the disk is too small or cannot be written, or a server failed too often.
    """
    places = {key: place_below(folder / "files", key) for key in remotes}
    partials = {key: place_below(folder / "partial", key) for key in remotes}
    present = sum(_bytes_here(places[key], partials[key], remote) for key, remote in remotes.items())
    sizes = [remote.size for remote in remotes.values()]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    require_space(folder, 0 if total is None else total - present, what="the data set")
    shared = _Shared(Tally(progress, total=total), waits)
    shared.tally.start(present, "Downloading")
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
        futures = [pool.submit(_fetch_one, remotes[key], places[key], partials[key], shared) for key in remotes]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            shared.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return places


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Raise StorageFailed where `needed` bytes do not fit on the disk of `folder`."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed + RESERVE_BYTES > free:
        raise StorageFailed(
            f"The disk is too full: {what} needs {_in_words(needed)} more, and of the {_in_words(free)} that are free "
            f"at {existing}, {_in_words(RESERVE_BYTES)} stay free. Make room, or read only the first rows."
        )


def not_written(path: Path, error: OSError) -> StorageFailed:
    """What it means that a file could not be written."""
    return StorageFailed(
        f"{path.parent} cannot be written: {error.strerror}. Make room or correct its rights, then try again; what has "
        "arrived is kept."
    )


def _fetch_one(remote: RemoteFile, place: Path, partial: Path, shared: _Shared) -> None:
    if place.exists() and remote.is_resumable:
        return
    try:
        for path in (place, partial):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.touch()
        if _bytes_here(place, partial, remote) == 0:
            os.truncate(partial, 0)
    except OSError as error:
        raise not_written(partial, error) from error
    failures, furthest = 0, (counted := _bytes_here(place, partial, remote))
    while (have := _bytes_here(place, partial, remote)) != remote.size:
        try:
            with remote.open(have, None) as body:
                if body.start not in (0, have):
                    raise TryAgain("another part of the file came than was asked for")
                shared.tally.take_back(counted - body.start)
                _receive(body, remote, partial, shared)
            if remote.size is None or partial.stat().st_size == remote.size:
                break
            raise TryAgain("the connection ended early")
        except TryAgain as error:
            counted = partial.stat().st_size
            failures = 1 if counted > furthest else failures + 1
            furthest = max(furthest, counted)
            shared.wait(remote.name, error, failures)
    _check(remote, partial)
    partial.replace(place)


def _receive(body: Body, remote: RemoteFile, partial: Path, shared: _Shared) -> None:
    what, unlooked = f"Downloading {remote.name}", 0
    # Unbuffered, so that a killed process leaves every byte that has arrived.
    with partial.open("r+b", buffering=0) as file:
        file.truncate(body.start)
        file.seek(body.start)
        for chunk in body.chunks:
            if shared.stopped.is_set():
                raise _Stopped
            if remote.size is not None and file.tell() + len(chunk) > remote.size:
                raise StorageFailed(f"{remote.name} is longer than its server said. Fetch it again.")
            try:
                written = 0
                while written < len(chunk):
                    written += file.write(chunk[written:])
            except OSError as error:
                raise not_written(partial, error) from error
            shared.tally.add(len(chunk), what)
            unlooked += len(chunk)
            if unlooked > _LOOK_AT_DISK_BYTES:
                unlooked = 0
                require_space(partial.parent, 0, what=remote.name)
        os.fsync(file.fileno())


def _bytes_here(place: Path, partial: Path, remote: RemoteFile) -> int:
    if not remote.is_resumable or remote.size is None:
        return 0
    if place.exists():
        return place.stat().st_size
    size = partial.stat().st_size if partial.exists() else 0
    return size if size <= remote.size else 0


def _check(remote: RemoteFile, partial: Path) -> None:
    if remote.checksum is None:
        return
    kind, _, expected = remote.checksum.partition(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {partial.stat().st_size}\0".encode())
    with partial.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        partial.unlink()
        raise StorageFailed(
            f"{remote.name} arrived damaged: its checksum is not the one that was announced. Try again."
        )


def _in_words(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"
