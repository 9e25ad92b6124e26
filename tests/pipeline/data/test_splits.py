"""Rows held out and sampled."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.splits import hold_out, sample_rows

GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=60)
SEEDS = st.integers(0, 2**32)


@given(groups=GROUPS, share=st.floats(0, 0.9), seed=SEEDS)
def test_groups_stay_on_one_side(groups: list[int], share: float, seed: int) -> None:
    held = hold_out(groups, len(groups), share=share, count=None, seed=seed).indices
    inside = {groups[index] for index in held}
    outside = {groups[index] for index in range(len(groups)) if index not in held}
    assert not inside & outside
    assert outside


@given(groups=GROUPS, count=st.integers(1, 70), seed=SEEDS)
def test_held_out_rows_are_as_close_to_the_wanted_number_as_one_more_group_can_bring_them(
    groups: list[int], count: int, seed: int
) -> None:
    held = hold_out(groups, len(groups), share=None, count=count, seed=seed)
    assert held.wanted == min(count, len(groups) - 1)
    inside = {groups[index] for index in held.indices}
    off_by = abs(len(held.indices) - held.wanted)
    for group, size in Counter(groups).items():
        if group not in inside and len(held.indices) + size < len(groups):
            assert abs(len(held.indices) + size - held.wanted) >= off_by


@given(total=st.integers(1, 200), count=st.integers(1, 250), seed=SEEDS)
def test_without_duplicates_the_number_is_exact(total: int, count: int, seed: int) -> None:
    expected = min(count, total - 1)
    for groups in (None, range(total)):
        held = hold_out(groups, total, share=None, count=count, seed=seed)
        assert (len(held.indices), held.wanted, held.note) == (expected, expected, "")


def test_same_seed_holds_out_the_same_rows_and_another_seed_others() -> None:
    groups = [index // 2 for index in range(200)]
    drawn = [hold_out(groups, 200, share=0.1, count=None, seed=seed).indices for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_share_holds_out_one_row_at_least_and_keeps_one() -> None:
    assert len(hold_out(None, 3, share=0.01, count=None, seed=0).indices) == 1
    assert len(hold_out(None, 3, share=1.0, count=None, seed=0).indices) == 2
    assert hold_out(None, 3, share=0.0, count=None, seed=0).indices == frozenset()
    assert hold_out(None, 1, share=0.5, count=None, seed=0).indices == frozenset()


def test_group_too_large_to_hold_out_is_reported() -> None:
    held = hold_out([0] * 50 + [1] * 50, 100, share=0.1, count=None, seed=0)
    assert held.indices == frozenset()
    assert (held.wanted, held.largest_group) == (10, 50)
    assert held.note.startswith("The rows held out for evaluation are none instead of 10: near-duplicates stay on one")
    assert "the largest group of them has 50 rows" in held.note


def test_large_group_does_not_keep_small_ones_from_being_held_out() -> None:
    held = hold_out([0] * 80 + list(range(1, 21)), 100, share=0.1, count=None, seed=0)
    assert len(held.indices) == 10
    assert min(held.indices) >= 80
    assert held.note == ""


def test_one_more_group_is_held_out_when_that_is_closer() -> None:
    held = hold_out([0] * 3 + [1] * 3 + [2] * 3, 9, share=None, count=5, seed=0)
    assert len(held.indices) == 6
    assert "6 instead of 5" in held.note


@pytest.mark.parametrize(("share", "count"), [(None, None), (0.1, 3)])
def test_share_and_count_exclude_each_other(share: float | None, count: int | None) -> None:
    with pytest.raises(ValueError, match="one of share and count"):
        hold_out(None, 10, share=share, count=count, seed=0)


def test_group_numbers_must_be_one_a_row() -> None:
    with pytest.raises(ValueError, match="2 group numbers for 3 rows"):
        hold_out([0, 1], 3, share=0.5, count=None, seed=0)


@given(total=st.integers(0, 300), count=st.integers(0, 400), seed=SEEDS)
def test_sample_has_distinct_rows_in_order(total: int, count: int, seed: int) -> None:
    sample = sample_rows(total, count, seed)
    assert sample == sorted(set(sample))
    assert len(sample) == min(total, count)
    assert all(0 <= index < total for index in sample)
    assert sample == sample_rows(total, count, seed)
