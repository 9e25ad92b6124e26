"""Fetches a source that lies elsewhere: a data set of the Hugging Face Hub, a bucket, an address."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.fetch.address import SourceKind, kind_of_source, parse_hub_address
from pipeline.data.fetch.progress import Progress
from pipeline.errors import DataProblem

__all__ = ["Fetched", "FetchedFile", "Progress", "SourceKind", "fetch", "kind_of_source"]


@dataclass(frozen=True)
class FetchedFile:
    """A file, or a folder of images and tables, on this disk. `split` is empty where the source names none."""

    path: Path
    name: str
    split: str


@dataclass(frozen=True)
class Fetched:
    """What was fetched, in the order of the source; `revision` is the commit that it was read at, if there is one."""

    files: tuple[FetchedFile, ...]
    source: str
    revision: str | None


def fetch(
    source: str,
    *,
    into: Path,
    progress: Progress,
    subset: str | None = None,
    splits: Sequence[str] = (),
    revision: str = "main",
    token: str | None = None,
    max_rows: int | None = None,
) -> Fetched:
    """Bring a source into the folder `into`; what an earlier attempt left there is gone on from.

    With `max_rows`, the files hold the first so many rows of the source, and more where their format does not allow
    to stop after a row. `token` is for the Hub; without one, the environment's counts.

    Raises:
        DataProblem: the source does not exist, may not be read, or is not one.
        StorageFailed: it cannot be reached or fails too often, or the disk is too small.
    """
    match kind_of_source(source):
        case "hub":
            from pipeline.data.fetch.hub import fetch_hub

            return fetch_hub(
                parse_hub_address(source),
                into=into,
                progress=progress,
                subset=subset,
                splits=splits,
                revision=revision,
                token=token,
                max_rows=max_rows,
            )
        case "object_store":
            from pipeline.data.fetch.object_store import fetch_objects

            return fetch_objects(source, into=into, progress=progress, max_rows=max_rows)
        case "file":
            raise DataProblem(f"There is no file at {source}. Check the path, or upload the file again.")
