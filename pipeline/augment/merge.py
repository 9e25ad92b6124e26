"""Writes a data set's usable rows together with the generated rows that were accepted, as one file to import."""

import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.augment.outcome import GeneratedRow, Refused
from pipeline.augment.review import ReviewFolder
from pipeline.augment.rows import row_key, row_of, standard_mapping
from pipeline.augment.training_rows import Roles, roles_of
from pipeline.data.example import Format
from pipeline.data.examples import choose_mapping, examples_of
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import IMAGES_FOLDER, RowStore, encode_row
from pipeline.data.sources.split_names import split_name
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem
from pipeline.events import RowDropped


@dataclass(frozen=True)
class Merged:
    """Rows taken over, rows added by the method that made them, rows left out as unusable; how to read the file."""

    kept: int
    added: dict[str, int]
    left_out: int
    mapping: Mapping


def merge_rows(store: RowStore, review: ReviewFolder, *, target: Path) -> Merged:
    """Write `target`, a zip with one file of JSON lines a split, and the images.

    Rows stand in the standard columns of their format; the accepted ones are training rows.

    Raises:
        DataProblem: no row was accepted, or an accepted one is an exact copy of another row.
    """
    mapping, roles = choose_mapping(store, DatasetConfig(path=str(store.folder))), roles_of(store)
    accepted = _accepted(store, mapping, review)
    files = _file_names(list(store.summary.splits), roles)
    home = "train" if "train" in roles.trained else min(roles.trained)
    columns: dict[str, None] = {}
    kept = 0
    partial = target.with_name(target.name + ".partial")
    try:
        # Stored, not compressed: it is read once and then deleted.
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for file_name in dict.fromkeys(files.values()):
                with archive.open(f"{file_name}.jsonl", "w", force_zip64=True) as file:
                    wanted = {split for split, name in files.items() if name == file_name}
                    kept += _write_usable(store, mapping, file, wanted=wanted, columns=columns)
                    if file_name == files[home]:
                        for row in accepted:
                            file.write(encode_row(row.row) + b"\n")
                            columns.update(dict.fromkeys(row.row))
            for image in sorted((store.folder / IMAGES_FOLDER).glob("*")):
                archive.write(image, f"{IMAGES_FOLDER}/{image.name}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    left_out = len(store) + store.summary.unreadable_rows - kept
    added = dict(Counter(str(row.method) for row in accepted))
    return Merged(kept, added, left_out, _mapping_of(mapping.format, list(columns)))


def _accepted(store: RowStore, mapping: Mapping, review: ReviewFolder) -> list[GeneratedRow]:
    known: dict[str, str] = {}
    for _, item in examples_of(store.rows(), mapping, columns=store.summary.columns):
        if not isinstance(item, RowDropped):
            known.setdefault(row_key(row_of(item)), f"row {item.row}")
    found = list(review.accepted_rows(existing_keys=known))
    copies = [item for item in found if isinstance(item, Refused)]
    if copies:
        count = "One accepted row is" if len(copies) == 1 else f"{len(copies):,} accepted rows are copies; the first is"
        raise DataProblem(f"{count} an {copies[0].reason}. Reject generated row {copies[0].text} and add the others.")
    if not found:
        raise DataProblem("No row was accepted. Accept some of the rows that were made first.")
    return [item for item in found if isinstance(item, GeneratedRow)]


def _write_usable(
    store: RowStore, mapping: Mapping, file: IO[bytes], *, wanted: set[str], columns: dict[str, None]
) -> int:
    count = 0
    stored = (item for item in store.rows() if item.split in wanted)
    for _, item in examples_of(stored, mapping, columns=store.summary.columns):
        if not isinstance(item, RowDropped):
            row = row_of(item)
            file.write(encode_row(row) + b"\n")
            columns.update(dict.fromkeys(row))
            count += 1
    return count


def _file_names(splits: list[str], roles: Roles) -> dict[str, str]:
    """A file for each split, named so that reading the files gives the splits again; where a split has a name that
    files do not tell, the names tell the part that it plays."""
    if all(split_name(split) == split for split in splits):
        return {split: split for split in splits}
    others = {split: "validation" if split == roles.held_out else "test" for split in splits}
    return {split: "train" if split in roles.trained else others[split] for split in splits}


def _mapping_of(kind: Format, columns: list[str]) -> Mapping:
    # The other columns of a prompt are for rewards, whatever they are called.
    known = ("prompt", "tools", "images")
    return standard_mapping([name for name in columns if name in known] if kind == "prompt_only" else columns)
