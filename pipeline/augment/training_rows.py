"""Which rows of a data set an augmentation may start from: those that a run would train on, never the others."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.augment.rows import row_key, row_of
from pipeline.data.example import Example, Format
from pipeline.data.examples import choose_mapping, examples_of
from pipeline.data.partition import evaluation_split, partition
from pipeline.data.row_store import RowStore
from pipeline.data_config import DatasetConfig
from pipeline.events import RowDropped


@dataclass(frozen=True)
class Roles:
    """Names of the splits that are trained on, and of the one that is held out; without one, all are trained on."""

    trained: frozenset[str]
    held_out: str | None


@dataclass(frozen=True)
class TrainingRows:
    """The training rows; the keys of all other rows, with what each is called; and rows that cannot be used."""

    format: Format
    train: list[Example] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    unusable: int = 0


def roles_of(store: RowStore) -> Roles:
    """The part that each split of the source plays in a run whose settings say nothing about splits."""
    name, config = store.summary.name, DatasetConfig(path=str(store.folder))
    held_out = evaluation_split(Counter(store.summary.splits), config, name=name)
    splits = list(store.summary.splits)
    # Rows that a run would hold out by chance are not known yet: without a split of its own, every row is for training.
    config = config.model_copy(update={"eval_split": held_out, "eval_share": 0.0})
    divided = partition(splits, config, seed=0, name=name, group=lambda positions: positions)
    return Roles(frozenset(splits[index] for index in divided.train), held_out)


def read_training_rows(folder: Path) -> TrainingRows:
    """The rows of an imported data set, divided.

    Raises:
        DataProblem: there is no data set, or its columns were not recognised.
    """
    store = RowStore(folder)
    mapping, roles = choose_mapping(store, DatasetConfig(path=str(folder))), roles_of(store)
    train: list[Example] = []
    others: dict[str, str] = {}
    unusable = store.summary.unreadable_rows
    for split, item in examples_of(store.rows(), mapping, columns=store.summary.columns):
        if isinstance(item, RowDropped):
            unusable += 1
        elif split in roles.trained:
            train.append(item)
        else:
            others.setdefault(row_key(row_of(item)), f"row {item.row}, of the split {split}")
    return TrainingRows(mapping.format, train, others, unusable)
