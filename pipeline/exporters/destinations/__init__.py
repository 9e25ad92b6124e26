"""deliver: puts the files of an export where the user wants them; a retry sends only what is not there yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath

from pipeline.exporters.destinations.address import Destination

# Written last: what it lists is there when it is there.
MANIFEST_FILE = "manifest.json"
_MODULES = {"file": "local_folder", "s3": "bucket", "gs": "bucket", "hf": "hub"}
# Bytes that are there, of all bytes; what was there already counts from the beginning.
DeliveryProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class DeliveredFile:
    """A file of this machine with its size and SHA-256 in hexadecimal digits."""

    source: Path
    size_bytes: int
    sha256: str


def deliver(
    files: Mapping[str, DeliveredFile],
    destination: Destination,
    *,
    private: bool = True,
    commit_message: str,
    progress: DeliveryProgress,
) -> str:
    """Put each file at its relative path below the destination; the address that a person can open is returned.

    A file of the same content is left as it is, so that a second call goes on where the first one failed. Folders and
    buckets get one file after the other, `manifest.json` last; the Hub gets all in one commit. `private` counts for
    repositories that are made now. Keys are taken from the environment only.

    Raises:
        ValueError: a path leads out of the destination.
        UserError: a package or a key is missing, or the key is refused.
        StorageFailed: the disk is too small, or the place does not exist, cannot be written or cannot be reached.
    """
    for path in files:
        _require_contained(path)
    ordered = dict(sorted(files.items(), key=lambda item: (item[0] == MANIFEST_FILE, item[0])))
    furthest = 0

    def tell(done: int, total: int) -> None:
        nonlocal furthest
        # What is sent again was told already.
        furthest = max(furthest, min(done, total))
        progress(furthest, total)

    module = import_module(f"{__name__}.{_MODULES[destination.scheme]}")
    address: str = module.deliver(ordered, destination, private=private, commit_message=commit_message, progress=tell)
    return address


def _require_contained(path: str) -> None:
    parts = path.split("/")
    if not path.isprintable() or PurePosixPath(path).is_absolute() or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is not a path below a destination")
