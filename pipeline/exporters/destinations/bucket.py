"""Delivery to a bucket: one object after the other, each with its SHA-256 beside it, so that a retry skips it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from pipeline.errors import UserError
from pipeline.exporters.destinations import DeliveredFile, DeliveryProgress
from pipeline.exporters.destinations.address import Destination

# The name under which an object's metadata hold it.
SHA256_KEY = "sha256"
_EXTRAS = {"s3": "s3", "gs": "gcs"}


class Bucket(Protocol):
    """A bucket that objects are sent to."""

    def holds(self, key: str, file: DeliveredFile) -> bool:
        """Whether the object of this key has the size and the SHA-256 of the file."""

    def send(self, key: str, file: DeliveredFile, *, arrived: Callable[[int], None]) -> None:
        """Store the file under this key; `arrived` is told how many of its bytes are there."""


def deliver(
    files: Mapping[str, DeliveredFile],
    destination: Destination,
    *,
    private: bool,
    commit_message: str,
    progress: DeliveryProgress,
) -> str:
    """Send the files below the prefix; the address of the prefix is returned.

    Raises:
        UserError: the package for the store or its key is missing, or the key is refused.
        StorageFailed: there is no such bucket, or it cannot be reached or fails too often.
    """
    bucket = _open(destination)
    total = sum(file.size_bytes for file in files.values())
    done = 0
    progress(done, total)
    for path, file in files.items():
        key = f"{destination.path}/{path}" if destination.path else path
        if not bucket.holds(key, file):
            bucket.send(key, file, arrived=partial(_tell, progress, done, total))
        done += file.size_bytes
        progress(done, total)
    return str(destination)


def _tell(progress: DeliveryProgress, before: int, total: int, count: int) -> None:
    progress(before + count, total)


def _open(destination: Destination) -> Bucket:
    scheme = destination.scheme
    try:
        if scheme == "s3":
            from pipeline.exporters.destinations.s3_bucket import S3Bucket

            return S3Bucket(destination)
        from pipeline.exporters.destinations.gcs_bucket import GcsBucket

        return GcsBucket(destination)
    except ImportError as error:
        raise UserError(
            f"{scheme}:// addresses need a package that is not installed. Install it with: "
            f'pip install "lapidary[{_EXTRAS[scheme]}]"'
        ) from error
