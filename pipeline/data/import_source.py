"""Brings a source into a data set's folder: fetches it, reads every row, recognises the shape, writes the summary."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.example import Row
from pipeline.data.fetch import Fetched, FetchedFile, fetch, kind_of_source
from pipeline.data.mapping import Recognition
from pipeline.data.recognise import recognise
from pipeline.data.row_store import IMAGES_FOLDER, DatasetSummary, NumberedRow, RowWriter, UnreadableRow
from pipeline.data.sources import read_source
from pipeline.data_config import ImportJobConfig
from pipeline.errors import DataProblem

# Rows by which the shape is recognised: the first ones, and one in so many of the rest.
FIRST_ROWS = 200
LATER_ROWS = 300
_REPORT_SECONDS = 0.3


@dataclass(frozen=True)
class Progress:
    """How far an import has come; `bytes_total` is None where unknown."""

    bytes_done: int
    bytes_total: int | None
    rows: int
    message: str


def import_source(
    config: ImportJobConfig, folder: Path, *, downloads: Path, progress: Callable[[Progress], None]
) -> DatasetSummary:
    """Read the source of `config` into `folder`. What is fetched from elsewhere is kept below `downloads` until then.

    Raises:
        DataProblem: the source cannot be found or read, or has no rows.
        StorageFailed: it cannot be fetched.
    """
    fetched = _local_files(config, downloads, progress)
    sample, throttle = _Sample(), _Throttle(progress)
    with RowWriter(folder) as writer:
        for item in _read(fetched, folder / IMAGES_FOLDER, limit=config.max_rows):
            if isinstance(item, UnreadableRow):
                writer.add_unreadable(item)
                continue
            try:
                writer.add(item.number, item.row, split=item.split)
            except (TypeError, ValueError) as error:
                writer.add_unreadable(UnreadableRow(row=item.number, reason=f"a value cannot be stored: {error}"))
                continue
            sample.offer(item.row)
            throttle.tell(writer)
        summary = writer.finish(
            name=config.name,
            source=fetched.source,
            files=[file.name for file in fetched.files],
            recognition=_recognition(config, sample.rows),
        )
    if downloads.exists():
        shutil.rmtree(downloads)
    return summary


def _local_files(config: ImportJobConfig, downloads: Path, progress: Callable[[Progress], None]) -> Fetched:
    if kind_of_source(config.source) == "file":
        path = Path(config.source).expanduser()
        if not path.exists():
            raise DataProblem(f"There is no file at {path}. Check the path, or upload the file again.")
        name = config.file_name if config.file_name is not None else path.name
        return Fetched(files=(FetchedFile(path, name, ""),), source=name, revision=None)
    return fetch(
        config.source,
        into=downloads,
        progress=lambda done, total, what: progress(Progress(done, total, 0, what)),
        subset=config.subset,
        splits=config.splits,
        revision=config.revision,
        max_rows=config.max_rows,
    )


def _read(fetched: Fetched, images: Path, *, limit: int | None) -> Iterator[NumberedRow | UnreadableRow]:
    """Rows of all files, numbered on from file to file."""
    offset = taken = 0
    for file in fetched.files:
        last = 0
        for item in read_source(file.path, name=file.name, images=images):
            if isinstance(item, UnreadableRow):
                last = item.row
                yield item.model_copy(update={"row": item.row + offset, "file": item.file or file.name})
                continue
            if limit is not None and taken == limit:
                return
            last, taken = item.number, taken + 1
            yield NumberedRow(item.number + offset, file.split or item.split, item.row)
        offset += last


def _recognition(config: ImportJobConfig, rows: list[Row]) -> Recognition | None:
    if config.mapping is None:
        return recognise(rows)
    return Recognition(shape="custom", mapping=config.mapping, confidence=1.0, reasons=("The columns were named.",))


class _Sample:
    """The first rows, and later ones ever more rarely, so that no part of a long file goes unseen."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._seen = 0
        self._stride = 1

    def offer(self, row: Row) -> None:
        self._seen += 1
        if len(self.rows) < FIRST_ROWS:
            self.rows.append(row)
        elif self._seen % self._stride == 0 and len(self.rows) < FIRST_ROWS + LATER_ROWS:
            self.rows.append(row)
            self._stride = max(self._stride, self._seen // FIRST_ROWS)


class _Throttle:
    """Tells of the progress a few times a second."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._told = time.monotonic()

    def tell(self, writer: RowWriter) -> None:
        rows = len(writer)
        # The clock costs more than a row: it is read now and then.
        if rows % 512 == 0 and time.monotonic() - self._told > _REPORT_SECONDS:
            self._told = time.monotonic()
            self._progress(Progress(writer.size_bytes, None, rows, f"Reading rows: {rows:,}"))
