"""Writes a copy of a data set without the rows that have some problems. Imported by child processes only."""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.data.integrity.catalogue import ROW_PROBLEMS, TOKEN_CODES
from pipeline.data.integrity.check import check_integrity
from pipeline.data.integrity.report import FlaggedRow
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import FLAGS_FILE, IMAGES_FOLDER, ROWS_FILE, RowStore, decode_row, encode_row
from pipeline.errors import DataProblem

SPLIT_COLUMN = "split"
_REPEATS = ("duplicate_rows", "near_duplicate_rows")


@dataclass(frozen=True)
class CleanedCopy:
    """Rows written, and rows left out by the problem that they were left out for."""

    rows: int
    dropped: dict[str, int]


def copy_suffix(store: RowStore) -> str:
    """The kind of file that holds all of a data set: `.zip` where it has several splits or images, else `.jsonl`."""
    several = len(store.summary.splits) > 1 or (store.folder / IMAGES_FOLDER).is_dir()
    return ".zip" if several else ".jsonl"


def write_cleaned_copy(
    store: RowStore, mapping: Mapping, *, target: Path, drop: Collection[str], keep_first_duplicate: bool = True
) -> CleanedCopy:
    """Write the rows as they are stored and in their order to `target`, without those that have a problem of `drop`.

    A `.zip` has one file a split and the images. Any other target is JSON lines; there, a data set of several splits
    gets a column with each row's split, unless it has one of that name. Of duplicates the first stays, unless
    `keep_first_duplicate` is false. Problems are those of the check at the import; under another mapping than the data
    set's own, rows are checked again.

    Raises:
        DataProblem: a code in `drop` is not one that rows can be cleaned of, or no row would be left.
    """
    unknown = sorted(set(drop) - (ROW_PROBLEMS.keys() - TOKEN_CODES - {"unreadable_rows"}))
    if unknown:
        raise DataProblem(f"Rows cannot be cleaned of {', '.join(unknown)}. Choose findings that list rows.")
    dropped = _rows_to_drop(store, mapping, drop=tuple(drop), keep_first=keep_first_duplicate)
    if len(dropped) >= len(store):
        raise DataProblem(
            f"A copy of {store.summary.name} without these rows would be empty. Drop fewer kinds of rows."
        )
    partial = target.with_name(target.name + ".partial")
    try:
        rows = _write_zip(store, partial, dropped) if target.suffix == ".zip" else _write_lines(store, partial, dropped)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return CleanedCopy(rows=rows, dropped=dict(Counter(dropped.values())))


def _rows_to_drop(store: RowStore, mapping: Mapping, *, drop: tuple[str, ...], keep_first: bool) -> dict[int, str]:
    """Numbers of the rows to leave out, each with the problem that comes first in `drop`."""
    kept, recognition = store.folder / FLAGS_FILE, store.summary.recognition
    if kept.is_file() and recognition is not None and recognition.mapping == mapping:
        return _choose(kept, drop=drop, keep_first=keep_first)
    with tempfile.TemporaryDirectory() as folder:
        flags = Path(folder) / FLAGS_FILE
        check_integrity(store, mapping, flags=flags, progress=lambda share, message: None)
        return _choose(flags, drop=drop, keep_first=keep_first)


def _choose(flags: Path, *, drop: tuple[str, ...], keep_first: bool) -> dict[int, str]:
    chosen: dict[int, str] = {}
    with flags.open("rb") as file:
        for flag in map(FlaggedRow.model_validate_json, file):
            if flag.code in drop:
                rows = [flag.row]
                if flag.code in _REPEATS and not keep_first and flag.of is not None:
                    rows.append(flag.of)
                for row in rows:
                    if row not in chosen or drop.index(flag.code) < drop.index(chosen[row]):
                        chosen[row] = flag.code
    if "near_duplicate_rows" not in drop:
        return chosen
    # An exact copy of a near duplicate is one itself.
    with flags.open("rb") as file:
        for flag in map(FlaggedRow.model_validate_json, file):
            if flag.code == "duplicate_rows" and flag.of is not None and chosen.get(flag.of) == "near_duplicate_rows":
                chosen.setdefault(flag.row, "near_duplicate_rows")
    return chosen


def _write_lines(store: RowStore, path: Path, dropped: Collection[int]) -> int:
    several, count = len(store.summary.splits) > 1, 0
    with path.open("wb", buffering=1 << 20) as file:
        for split, line in _kept_lines(store, dropped):
            if several:
                row = decode_row(line)
                line = encode_row({**row, SPLIT_COLUMN: row.get(SPLIT_COLUMN, split)}) + b"\n"
            file.write(line)
            count += 1
    return count


def _write_zip(store: RowStore, path: Path, dropped: Collection[int]) -> int:
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for split in store.summary.splits:
            with archive.open(f"{_file_name(split)}.jsonl", "w", force_zip64=True) as file:
                count += _write_split(store, file, dropped, split)
        for image in sorted((store.folder / IMAGES_FOLDER).glob("*")):
            # Images are compressed already.
            archive.write(image, f"{IMAGES_FOLDER}/{image.name}", compress_type=zipfile.ZIP_STORED)
    return count


def _write_split(store: RowStore, file: IO[bytes], dropped: Collection[int], wanted: str) -> int:
    count = 0
    for split, line in _kept_lines(store, dropped):
        if split == wanted:
            file.write(line)
            count += 1
    return count


def _kept_lines(store: RowStore, dropped: Collection[int]) -> Iterator[tuple[str, bytes]]:
    """Split and stored line of each row that stays."""
    with (store.folder / ROWS_FILE).open("rb", buffering=1 << 20) as lines:
        for item, line in zip(store.rows(), lines, strict=True):
            if item.number not in dropped:
                yield item.split, line


def _file_name(split: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in split)
