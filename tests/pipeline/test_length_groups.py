"""LengthGroupedSampler: every row once, little padding, a new order each epoch, no length first."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.length_groups import LengthGroupedSampler


def order(lengths: list[int], *, batch_size: int, seed: int = 1, epoch: int = 0) -> list[int]:
    sampler = LengthGroupedSampler(lengths, batch_size=batch_size, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4096), max_size=300), st.integers(1, 33), st.integers(0, 9), st.integers(0, 9))
def test_every_row_comes_once(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    rows = order(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(rows) == list(range(len(lengths)))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [index % 37 + 1 for index in range(200)]
    assert order(lengths, batch_size=8) == order(lengths, batch_size=8)
    assert order(lengths, batch_size=8) != order(lengths, batch_size=8, epoch=1)
    assert order(lengths, batch_size=8) != order(lengths, batch_size=8, seed=2)


def test_batches_hold_little_padding() -> None:
    lengths = [1 + (index * 7919) % 500 for index in range(1000)]
    rows = order(lengths, batch_size=8)
    batches = [[lengths[row] for row in rows[start : start + 8]] for start in range(0, len(rows), 8)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert sum(lengths) / padded > 0.95


def test_no_length_comes_first() -> None:
    lengths = list(range(1, 801))
    firsts = [lengths[order(lengths, batch_size=8, epoch=epoch)[0]] for epoch in range(40)]
    assert min(firsts) < 200
    assert max(firsts) > 600


def test_short_batch_comes_last() -> None:
    lengths = [index % 11 + 1 for index in range(8 * 60 + 3)]
    rows = order(lengths, batch_size=8)
    spreads = [
        max(lengths[row] for row in rows[i : i + 8]) - min(lengths[row] for row in rows[i : i + 8])
        for i in range(0, 480, 8)
    ]
    assert max(spreads) <= 3
