"""The first rows of remote files, without the rest: files that are cut after a row, in the format that they have."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pipeline.data.fetch.progress import Progress, Tally
from pipeline.data.fetch.range_reader import RangeReader
from pipeline.data.fetch.remote_file import RemoteFile, place_below
from pipeline.data.fetch.retry import WAITS_SECONDS
from pipeline.data.fetch.transfer import not_written, transfer_all
from pipeline.errors import DataProblem

# A line is copied in pieces, so that one of any length needs little memory.
_PIECE_BYTES = 1 << 20
_BUFFER_BYTES = 64 << 10
_BATCH_ROWS = 1024
_CUT_SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_WIDE_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")
# Copies up to `rows` rows and returns how many those were.
Cut = Callable[[BinaryIO, BinaryIO, int], int]


def sample_all(
    remotes: Mapping[str, RemoteFile],
    folder: Path,
    *,
    progress: Progress,
    max_rows: int,
    waits: Sequence[float] = WAITS_SECONDS,
) -> dict[str, Path]:
    """Bring the first `max_rows` rows of the files, in their order, into `folder`, each file at its key.

    Files in which the end of a row cannot be told from its bytes (JSON arrays, workbooks, archives, images) come
    whole. Files after the last row that is wanted do not come at all.

    Raises:
        DataProblem: a key leads out of the folder, or a Parquet file is damaged.
        StorageFailed: the disk cannot be written, or a server failed too often.
    """
    places: dict[str, Path] = {}
    whole: dict[str, RemoteFile] = {}
    tally, left = Tally(progress, total=None), max_rows
    for key, remote in remotes.items():
        if left == 0:
            break
        place = place_below(folder / "files", key)
        told = partial(tally.add, what=f"Reading the first rows of {remote.name}")
        taken = _take(remote, place, rows=left, told=told, waits=waits)
        if taken is None:
            whole[key] = remote
        else:
            places[key] = place
            left -= taken
    if whole:
        places |= transfer_all(whole, folder, progress=tally.part(), waits=waits)
    return places


def _take(
    remote: RemoteFile, place: Path, *, rows: int, told: Callable[[int], None], waits: Sequence[float]
) -> int | None:
    """How many rows were taken; None where the file can only come whole."""
    import pyarrow as pa

    if remote.size is None or not remote.has_ranges or not remote.name.lower().endswith(_CUT_SUFFIXES):
        return None
    with io.BufferedReader(RangeReader(remote, told=told, waits=waits), _BUFFER_BYTES) as source:
        cut = _cut_of(remote.name, source.peek())
        if cut is None:
            return None
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with place.open("wb") as target:
                return cut(source, target, rows)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise not_written(place, error) from error
            raise DataProblem(f"{remote.name} is called .parquet and is no Parquet file, or a damaged one.") from error


def cut_lines(source: BinaryIO, target: BinaryIO, rows: int) -> int:
    """Copy lines until `rows` of them were not blank."""
    taken, is_blank = 0, True
    while taken < rows and (piece := source.readline(_PIECE_BYTES)):
        target.write(piece)
        is_blank = is_blank and not piece.strip()
        if piece.endswith(b"\n"):
            taken += not is_blank
            is_blank = True
    return taken + (taken < rows and not is_blank)


def cut_records(source: BinaryIO, target: BinaryIO, rows: int) -> int:
    """Copy a header and `rows` records of a table with delimiters; a line break between quotes ends no record.

    A stray quote makes it copy more, never less.
    """
    lines, quotes = 0, 0
    while lines <= rows and (piece := source.readline(_PIECE_BYTES)):
        target.write(piece)
        quotes += piece.count(b'"')
        lines += piece.endswith(b"\n") and quotes % 2 == 0
    return max(0, lines - 1)


def cut_parquet(source: BinaryIO, target: BinaryIO, rows: int) -> int:
    """Copy the first `rows` rows of a Parquet file with its schema."""
    import pyarrow.parquet as pq

    # Column chunks are read page by page: a row group may be larger than all that is wanted.
    with pq.ParquetFile(source, buffer_size=_PIECE_BYTES, pre_buffer=False) as table:
        taken = 0
        with pq.ParquetWriter(target, table.schema_arrow) as writer:
            for batch in table.iter_batches(batch_size=min(rows, _BATCH_ROWS)):
                part = batch.slice(0, rows - taken)
                writer.write_batch(part)
                taken += len(part)
                if taken == rows:
                    break
        return taken


def _cut_of(name: str, beginning: bytes) -> Cut | None:
    suffix = Path(name).suffix.lower()
    if suffix == ".parquet":
        return cut_parquet
    if beginning.startswith(_WIDE_ENCODINGS) or (suffix == ".json" and not _is_json_lines(beginning)):
        return None
    return cut_records if suffix in (".csv", ".tsv") else cut_lines


def _is_json_lines(beginning: bytes) -> bool:
    """Whether a file that is called .json holds an object a line, as many of them do."""
    first, line_break, _ = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if not line_break or not first.startswith(b"{"):
        return False
    try:
        json.loads(first)
    except ValueError:
        return False
    return True
