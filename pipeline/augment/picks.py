"""Which rows are taken, and the random numbers of each: equal seeds give equal rows, whatever else is in the set."""

import hashlib
import heapq
import random
from collections.abc import Sequence

from pipeline.data.example import Example


def pick_examples(examples: Sequence[Example], share: float, *, seed: int) -> list[Example]:
    """This share of the examples in their order, at least one; a larger share takes the same ones and more."""
    wanted = min(len(examples), max(1, round(len(examples) * share)))
    if wanted == len(examples):
        return list(examples)
    drawn = heapq.nsmallest(wanted, range(len(examples)), key=lambda index: _lot(seed, examples[index].row))
    return [examples[index] for index in sorted(drawn)]


def shuffle_examples(examples: Sequence[Example], *, seed: int) -> list[Example]:
    """The examples in the order of their lots, so that the first ones are spread over the set."""
    return sorted(examples, key=lambda example: _lot(seed, example.row))


def generator_for(seed: int, *labels: object) -> random.Random:
    """Random numbers that belong to these labels."""
    return random.Random(f"{seed}/{'/'.join(map(str, labels))}")  # noqa: S311 - drawn reproducibly


def _lot(seed: int, row: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=8).digest()
