"""Scan: what every row of a data set becomes under a mapping, counted once and kept beside the rows."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data.examples import examples_of
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import RowStore, write_document
from pipeline.events import RowDropped

SAMPLES = 3
SHOWN_DROPPED = 20
_FOLDER = "scans"
# Part of the file's name: a scan by other rules is not used again.
_VERSION = 2


class Scan(BaseModel):
    """Usable rows by split in the order of the rows, as (split, how many follow each other), and what was left out."""

    model_config = ConfigDict(extra="forbid")
    runs: list[tuple[str, int]]
    dropped_rows: int
    dropped: list[RowDropped] = Field(description="The first rows that cannot be used.")
    samples: list[dict[str, Any]] = Field(description="The first examples.")
    labels: dict[str, int] = Field(description="Usable rows by label, good or bad, where the format has one.")

    @property
    def splits(self) -> Iterator[str]:
        """The split of each usable row."""
        return chain.from_iterable(repeat(split, count) for split, count in self.runs)


def scan_rows(store: RowStore, mapping: Mapping, *, split_column: str | None = None) -> Scan:
    """The scan of a data set, read from its folder if it was made before."""
    key = f"{_VERSION}\n{store.summary.checksum}\n{mapping.model_dump_json()}\n{split_column}"
    file = store.folder / _FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    known = _read(file)
    if known is None:
        known = _scan(store, mapping, split_column)
        file.parent.mkdir(exist_ok=True, mode=0o700)
        write_document(file, known)
    return known


def _read(file: Path) -> Scan | None:
    try:
        return Scan.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _scan(store: RowStore, mapping: Mapping, split_column: str | None) -> Scan:
    runs: list[tuple[str, int]] = []
    dropped = [RowDropped(row=item.row, reason=item.reason) for item in store.unreadable(limit=SHOWN_DROPPED)]
    dropped_rows = store.summary.unreadable_rows
    samples: list[dict[str, Any]] = []
    labels = {"good": 0, "bad": 0}
    rows = examples_of(store.rows(), mapping, columns=store.summary.columns, split_column=split_column)
    for split, item in rows:
        if isinstance(item, RowDropped):
            dropped_rows += 1
            if dropped_rows - store.summary.unreadable_rows <= SHOWN_DROPPED:
                dropped.append(item)
            continue
        if len(samples) < SAMPLES:
            samples.append(asdict(item))
        if item.label is not None:
            labels["good" if item.label else "bad"] += 1
        if runs and runs[-1][0] == split:
            runs[-1] = (split, runs[-1][1] + 1)
        else:
            runs.append((split, 1))
    dropped.sort(key=lambda item: item.row)
    return Scan(runs=runs, dropped_rows=dropped_rows, dropped=dropped[:SHOWN_DROPPED], samples=samples, labels=labels)
