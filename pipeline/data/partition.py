"""Decides which examples are trained on and which are held out."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.data.splits import hold_out
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem

# In the order in which a source's own evaluation split is looked for.
EVALUATION_SPLITS = ("validation", "valid", "val", "dev", "eval", "evaluation", "test")
TRAIN_SPLIT = "train"
Group = Callable[[Sequence[int]], Sequence[int]]


@dataclass(frozen=True)
class Partition:
    """Positions of the examples to train on and to evaluate on, and what the user should know about it."""

    train: list[int]
    evaluation: list[int]
    note: str = ""


def evaluation_split(splits: Counter[str], config: DatasetConfig, *, name: str) -> str | None:
    """The split of the source that is held out, or None where rows are to be held out of the others.

    Raises:
        DataProblem: a named split does not exist, or both names are the same.
    """
    for field, chosen in (("train_split", config.train_split), ("eval_split", config.eval_split)):
        if chosen is not None and chosen not in splits:
            raise DataProblem(f"{name} has no split {chosen!r} (dataset.{field}). Its splits are: {', '.join(splits)}.")
    if config.eval_split is not None:
        if config.eval_split == config.train_split:
            raise DataProblem(f"{name}: dataset.eval_split and dataset.train_split are both {config.eval_split!r}.")
        return config.eval_split
    if config.eval_path is not None or (config.eval_share == 0 and config.eval_rows is None):
        return None
    by_name = {split.lower(): split for split in splits if split != config.train_split}
    found = next((by_name[known] for known in EVALUATION_SPLITS if known in by_name), None)
    return found if len(splits) > 1 else None


def partition(splits: Sequence[str], config: DatasetConfig, *, seed: int, name: str, group: Group) -> Partition:
    """Divide examples, given the split of each. `group` numbers the near-duplicates among some positions.

    Every draw follows from `seed`. With `dataset.eval_path` nothing is held out here.

    Raises:
        DataProblem: a named split does not exist, or no row is left to train on.
    """
    counted, chooser = Counter(splits), random.Random(seed)  # noqa: S311 - not a secret
    held_name = evaluation_split(counted, config, name=name)
    train_name = config.train_split
    if train_name is None and TRAIN_SPLIT in counted and held_name is not None:
        train_name = TRAIN_SPLIT
    train = [
        index
        for index, split in enumerate(splits)
        if split != held_name and (train_name is None or split == train_name)
    ]
    evaluation = [index for index, split in enumerate(splits) if split == held_name] if held_name else []
    if not train:
        raise DataProblem(f"{name} has no usable row in the split to train on.")
    if config.max_rows is not None and config.max_rows < len(train):
        train = sorted(chooser.sample(train, config.max_rows))
    if held_name is not None:
        if config.eval_rows is not None and config.eval_rows < len(evaluation):
            evaluation = sorted(chooser.sample(evaluation, config.eval_rows))
        return Partition(train, evaluation)
    if config.eval_path is not None or (config.eval_share == 0 and config.eval_rows is None):
        return Partition(train, [])
    return _hold_out(train, config, seed=seed, group=group)


def _hold_out(train: list[int], config: DatasetConfig, *, seed: int, group: Group) -> Partition:
    groups = group(train)
    share = config.eval_share if config.eval_rows is None else None
    held = hold_out(groups, len(train), share=share, count=config.eval_rows, seed=seed)
    return Partition(
        [position for index, position in enumerate(train) if index not in held.indices],
        [train[index] for index in sorted(held.indices)],
        held.note,
    )
