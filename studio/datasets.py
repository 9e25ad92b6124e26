"""Takes data files in: checks them, copies them to the studio's folder, and registers them."""

import hashlib
import re
import shutil
from pathlib import Path

from db import drafts
from db.database import Database
from db.models import Dataset
from pipeline.config import DatasetConfig
from pipeline.data_files import read_rows
from pipeline.data_formats import recognise_layout
from pipeline.errors import DataProblem, StorageFailed
from studio.settings import Settings

SHARED_OWNER = "studio"
_CHUNK_BYTES = 1 << 20


def import_file(database: Database, settings: Settings, source: Path, *, name: str, owner: str) -> Dataset:
    """Copy `source` below the studio's folder and register it under `name`, its file name as the user knows it.

    A file whose columns are not recognised is taken all the same: the columns can be named by hand.

    Raises:
        DataProblem: the file is of another type, empty, or a row cannot be parsed.
        StorageFailed: it cannot be copied, for example because the disk is full.
    """
    name = safe_name(name)
    rows = 0
    layout = "unknown"
    for _, row in read_rows(source, name=name):
        if rows == 0:
            layout = _layout_name(row, name)
        rows += 1
    checksum = _sha256(source)
    target = settings.uploads / owner / checksum[:16] / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = target.with_name(target.name + ".partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
    except OSError as error:
        raise StorageFailed(
            f"{name} could not be stored: {error.strerror}. Free some space and upload it again."
        ) from error
    return _register(database, target, name=name, owner=owner, layout=layout, rows=rows, checksum=checksum)


def register_demo(database: Database, settings: Settings) -> None:
    """Register the task that ships with the studio."""
    folder = settings.assets / "demo" / "gem-orders"
    train = folder / "train.jsonl"
    rows = sum(1 for _ in read_rows(train))
    _register(
        database,
        train,
        name="gem-orders (demo)",
        owner=SHARED_OWNER,
        layout="messages",
        rows=rows,
        checksum=_sha256(train),
        eval_path=folder / "test.jsonl",
    )


def safe_name(name: str) -> str:
    """The last part of a file name, with unusual characters replaced."""
    cleaned = re.sub(r"[^\w.\- ]+", "_", Path(name.replace("\\", "/")).name).strip(". ")
    if not cleaned:
        raise DataProblem(f"{name!r} is not a file name. Rename the file and upload it again.")
    return cleaned[:120]


def _layout_name(row: dict[str, object], name: str) -> str:
    try:
        return recognise_layout(row, DatasetConfig(path=name), file_name=name).format
    except DataProblem:
        return "unknown"


def _register(
    database: Database,
    path: Path,
    *,
    name: str,
    owner: str,
    layout: str,
    rows: int,
    checksum: str,
    eval_path: Path | None = None,
) -> Dataset:
    dataset = Dataset(
        owner=owner,
        name=name,
        path=str(path),
        eval_path=None if eval_path is None else str(eval_path),
        format=layout,
        num_samples=rows,
        size_bytes=path.stat().st_size,
        checksum=checksum,
    )
    with database.write() as session:
        return drafts.register_dataset(session, dataset)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
