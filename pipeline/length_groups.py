"""Puts rows of similar length into the same batch, in a new order each epoch."""

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

# Sorting fifty batches' rows at a time leaves a few percent of padding and still mixes the data: the rows that share a
# batch change from epoch to epoch. The same number as transformers' LengthGroupedSampler.
BATCHES_PER_GROUP = 50


class LengthGroupedSampler(Sampler[int]):
    """Yields every row index once an epoch, so that consecutive `batch_size` of them are of similar length.

    Rows are shuffled, cut into groups of 50 batches, sorted by length inside a group and cut into batches; then all
    batches are shuffled, so that no length comes first. The order depends on `seed` and the epoch alone.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        chooser = random.Random(f"{self.seed}/{self.epoch}")  # noqa: S311 - not a secret
        rows = list(range(len(self.lengths)))
        chooser.shuffle(rows)
        group_size = self.batch_size * BATCHES_PER_GROUP
        batches = []
        for start in range(0, len(rows), group_size):
            group = sorted(rows[start : start + group_size], key=lambda row: self.lengths[row])
            batches += [group[i : i + self.batch_size] for i in range(0, len(group), self.batch_size)]
        # The one batch that may be short stays last: in the middle it would shift the borders of all later batches.
        short = [batch for batch in batches if len(batch) < self.batch_size]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        chooser.shuffle(full)
        for batch in full + short:
            yield from batch
