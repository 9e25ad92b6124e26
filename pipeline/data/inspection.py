"""Inspection: what a training run would find in its data set, as one document that crosses a process."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.example import Format
from pipeline.data.integrity.report import IntegrityFinding, IntegrityReport
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import REPORT_FILE, RowStore
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem
from pipeline.events import RowDropped

if TYPE_CHECKING:
    from pipeline.data.scan import Scan

SAMPLES = 3


class Inspection(BaseModel):
    """The rows of a data set as they would be used. Counts are of usable rows; `samples` are the first examples."""

    model_config = ConfigDict(extra="forbid")
    folder: str
    name: str
    checksum: str
    format: Format
    shape: str
    mapping: Mapping
    confidence: float
    reasons: tuple[str, ...]
    modality: str
    columns: list[str]
    rows: int
    usable_rows: int
    train_rows: int
    eval_rows: int
    eval_source: str = Field(description="Where the evaluation rows come from: a split, a share, a file, or nothing.")
    splits: dict[str, int]
    dropped_rows: int
    dropped: list[RowDropped] = Field(description="The first rows that cannot be used.")
    samples: list[dict[str, Any]]
    labels: dict[str, int] = Field(description="Usable rows by label, good or bad, where the format has one.")
    integrity: list[IntegrityFinding] | None = Field(
        description="What the check of every row found under this mapping; None where rows were not checked."
    )


def inspect_data(config: DatasetConfig, *, imports: Path, seed: int = 0) -> Inspection:
    """Look at the data set of `config`; a file or an address is imported below `imports` first.

    Raises:
        DataProblem: it cannot be read, is not recognised, or no row is usable.
        StorageFailed: it cannot be fetched.
    """
    from pipeline.data.open_data import open_data
    from pipeline.data.partition import evaluation_split, partition

    store = open_data(config.path, imports=imports)
    mapping, scan = _scan(store, config)
    splits = list(scan.splits)
    summary, recognition = store.summary, store.summary.recognition
    # Near duplicates move rows between the sides, not their numbers.
    divided = partition(splits, config, seed=seed, name=summary.name, group=lambda positions: range(len(positions)))
    eval_rows, eval_source = len(divided.evaluation), "drawn with the seed" if divided.evaluation else "none"
    if config.eval_path is not None:
        eval_rows = _count_evaluation(config, config.eval_path, imports)
        eval_source = "file"
    elif named := evaluation_split(Counter(splits), config, name=summary.name):
        eval_source = f"split {named}"
    recognised = recognition is not None and recognition.mapping == mapping
    return Inspection(
        folder=str(store.folder),
        name=summary.name,
        checksum=summary.checksum,
        format=mapping.format,
        shape=recognition.shape if recognition is not None and recognised else "custom",
        mapping=mapping,
        confidence=recognition.confidence if recognition is not None and recognised else 1.0,
        reasons=recognition.reasons if recognition is not None and recognised else ("The columns were named.",),
        modality="text" if recognition is None else recognition.modality,
        columns=summary.columns,
        rows=summary.rows + summary.unreadable_rows,
        usable_rows=len(splits),
        train_rows=len(divided.train),
        eval_rows=eval_rows,
        eval_source=eval_source,
        splits=dict(Counter(splits)),
        dropped_rows=scan.dropped_rows,
        dropped=scan.dropped,
        samples=scan.samples,
        labels=scan.labels,
        integrity=_integrity(store, is_recognised=recognised),
    )


def _integrity(store: RowStore, *, is_recognised: bool) -> list[IntegrityFinding] | None:
    file = store.folder / REPORT_FILE
    if not is_recognised or not file.exists():
        return None
    return IntegrityReport.model_validate_json(file.read_bytes()).findings


def _scan(store: RowStore, config: DatasetConfig) -> "tuple[Mapping, Scan]":
    from pipeline.data.examples import check_split_column, choose_mapping, no_usable_row
    from pipeline.data.scan import scan_rows

    mapping = choose_mapping(store, config)
    scan = scan_rows(store, mapping, split_column=check_split_column(store, config))
    if not scan.runs:
        raise no_usable_row(store.summary.name, scan.dropped[0])
    return mapping, scan


def _count_evaluation(config: DatasetConfig, path: str, imports: Path) -> int:
    from pipeline.data.open_data import open_data

    try:
        return sum(count for _, count in _scan(open_data(path, imports=imports), config)[1].runs)
    except DataProblem as problem:
        problem.field = "dataset.eval_path"
        raise


def empty_inspection(store: RowStore) -> dict[str, Any]:
    """What is known of a data set that was not recognised: its columns and first rows, to map them by hand."""
    rows = [store.row(index) for index in range(min(SAMPLES, len(store)))]
    return {
        "folder": str(store.folder),
        "name": store.summary.name,
        "columns": store.summary.columns,
        "rows": store.summary.rows,
        "samples": [{"row": item.number, "values": item.row} for item in rows],
    }
