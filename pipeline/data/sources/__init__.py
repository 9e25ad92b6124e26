"""Reads the rows of any file or folder that is supported, one at a time, and tells those that are none."""

import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from pipeline.data.row_store import NumberedRow, UnreadableRow
from pipeline.data.sources.archive import unpack_zip
from pipeline.data.sources.folder import is_read, read_folder
from pipeline.data.sources.images import ImageKeeper
from pipeline.data.sources.records import Found, Record
from pipeline.data.sources.signatures import KINDS, recognise
from pipeline.data.sources.split_names import DEFAULT_SPLIT
from pipeline.data.sources.table import read_table
from pipeline.errors import DataProblem, StorageFailed

SUPPORTED_SUFFIXES: tuple[str, ...] = tuple(KINDS)


def read_source(path: Path, *, name: str | None = None, images: Path) -> Iterator[NumberedRow | UnreadableRow]:
    """Rows of the source at `path`, numbered from 1 over all of its files; in a row's place, why it is none.

    `path` is a file, a zip, a folder of tables, a folder of images with or without a table. `name` is what messages
    call it, and gives its type, where the path is a temporary one. Values are those that JSON can hold; images in the
    source are copied to the folder `images`, and `{"path": "images/<hash>.<ending>"}` stands in their place.
    What has to be unpacked is kept in a temporary folder beside `images` as long as it is read.

    Raises:
        DataProblem: the source does not exist, is not supported, is unusable as a whole, or has no rows.
        StorageFailed: it cannot be read, or an image cannot be written.
    """
    name = path.resolve().name if name is None else name
    if not (path.is_file() or path.is_dir()):
        raise DataProblem(f"There is no file at {path}. Check the path, or upload the file again.")
    number = 0
    try:
        images.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=images.parent) as workspace,
            closing(_read(path, name, ImageKeeper(images), Path(workspace))) as everything,
        ):
            for number, (file, split, found) in enumerate(everything, start=1):
                if isinstance(found, Record):
                    yield NumberedRow(number, found.split or split, found.row)
                else:
                    yield UnreadableRow(row=number, reason=found.reason, text=found.text, file=file)
    except UnicodeDecodeError as error:
        raise DataProblem(f"{name} is not the Unicode text that it begins as. Save it as UTF-8.") from error
    except OSError as error:
        raise StorageFailed(f"{name} could not be read: {error.strerror}. Check its permissions.") from error
    if number == 0:
        raise DataProblem(f"{name} has no rows. Give a file with at least one row.")


def _read(path: Path, name: str, images: ImageKeeper, workspace: Path) -> Generator[tuple[str, str, Found], None, None]:
    if path.is_dir():
        yield from read_folder(path, name, images, workspace)
    elif recognise(path, name) == "zip":
        unpacked = workspace / "zip"
        unpacked.mkdir()
        unpack_zip(path, name, unpacked, is_wanted=is_read)
        yield from read_folder(unpacked, name, images, None)
    else:
        for found in read_table(path, name, images, workspace):
            yield name, DEFAULT_SPLIT, found
