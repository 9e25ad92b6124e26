"""The rows of a run, encoded as it would encode them, and two batches of them: the heaviest and a usual one."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.data.examples import check_split_column, choose_mapping, examples_of, no_usable_row
from pipeline.data.open_data import open_data
from pipeline.data.row_store import RowStore
from pipeline.data_manager import DataManager, PreparedData, SplitExamples
from pipeline.errors import DataProblem
from pipeline.events import RowDropped
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.method_config import format_problem
from pipeline.methods import EncodedRow
from pipeline.model_manager import LoadedModel
from pipeline.run_dir import RunDir

# All rows of a small data set; of a large one the longest lines and others at equal distances.
MOST_ENCODED = 2000
_LONGEST = 200
# The rows of the last request.
_ENCODED: dict[str, PreparedData] = {}


@dataclass(frozen=True)
class RunRows:
    """All rows that were encoded, cut to `max_length`, and two batches of them."""

    rows: Sequence[EncodedRow]
    heaviest: list[EncodedRow]
    usual: list[EncodedRow]
    max_length: int

    @property
    def mean_tokens(self) -> float:
        """Tokens of a row on average."""
        return fmean(row.tokens for row in self.rows)


def encode_run_rows(config: FineTuneJobConfig, loaded: LoadedModel, *, imports: Path) -> RunRows:
    """Read and encode the data set of `config`, or of a large one a part; `loaded` needs no model.

    Raises:
        DataProblem: it cannot be read, or no row is left to train on.
    """
    store = open_data(config.dataset.path, imports=imports)
    parts = [part.model_dump_json() for part in (config.model, config.dataset, config.method)]
    key = "\n".join((store.summary.checksum, str(loaded.tokenizer.chat_template), *parts))
    prepared = _ENCODED.get(key)
    if prepared is None:
        prepared = _encode(config, store, loaded)
        # Whoever tries settings does so with the same rows.
        _ENCODED.clear()
        _ENCODED[key] = prepared
    return choose_batches(config, prepared.train, max_length=prepared.max_length)


def _encode(config: FineTuneJobConfig, store: RowStore, loaded: LoadedModel) -> PreparedData:
    examples = _examples(config, store)
    with tempfile.TemporaryDirectory() as folder:
        manager = DataManager(config, JobTracker(RunDir(Path(folder))))
        return manager.encode(SplitExamples(examples, []), loaded)


def choose_batches(config: FineTuneJobConfig, rows: Sequence[Any], *, max_length: int) -> RunRows:
    """The heaviest batch holds the longest rows; a usual one has the mean padded size of all batches."""
    size = config.training.per_device_batch_size
    filled = [rows[place % len(rows)] for place in range(max(size, len(rows)))]
    heaviest = sorted(filled, key=lambda row: row.length, reverse=True)[:size]
    return RunRows(rows, heaviest, _usual(config, filled, size), max_length)


def _usual(config: FineTuneJobConfig, rows: Sequence[Any], size: int) -> list[EncodedRow]:
    order = list(LengthGroupedSampler([row.length for row in rows], batch_size=size, seed=config.training.seed))
    if config.training.batching == "random":
        order = list(range(len(rows)))
    batches = [[rows[place] for place in order[start : start + size]] for start in range(0, len(order), size)]
    full = [batch for batch in batches if len(batch) == size]
    mean = fmean(_padded(batch) for batch in full)
    return min(full, key=lambda batch: abs(_padded(batch) - mean))


def _padded(batch: Sequence[Any]) -> int:
    return len(batch) * max(row.length for row in batch)


def _examples(config: FineTuneJobConfig, store: RowStore) -> list[Any]:
    mapping = choose_mapping(store, config.dataset)
    problem = format_problem(config.method.kind, mapping.format)
    if problem is not None:
        raise DataProblem(f"{store.summary.name}: {problem}")
    rows = (store.row(place) for place in _places(store))
    built = examples_of(
        rows,
        mapping,
        columns=store.summary.columns,
        split_column=check_split_column(store, config.dataset),
        keep_rows=config.method.kind == "grpo",
    )
    items = [item for _, item in built]
    examples = [item for item in items if not isinstance(item, RowDropped)]
    if not examples:
        raise no_usable_row(store.summary.name, next(item for item in items if isinstance(item, RowDropped)))
    return examples


def _places(store: RowStore) -> Sequence[int]:
    count = len(store)
    if count <= MOST_ENCODED:
        return range(count)
    sizes = store.row_sizes()
    longest = sorted(range(count), key=sizes.__getitem__, reverse=True)[:_LONGEST]
    others = MOST_ENCODED - _LONGEST
    return sorted({*longest, *(place * count // others for place in range(others))})
