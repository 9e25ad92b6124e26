"""Histogram of lengths, percentiles, and the limit that follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.integrity.lengths import (
    BARS,
    LENGTH_MULTIPLE,
    UNCUT_LENGTH,
    build_histogram,
    default_max_length,
    percentile,
)

LENGTHS = st.lists(st.integers(0, 10**9) | st.integers(0, 300), min_size=1, max_size=200)


@given(lengths=LENGTHS)
def test_every_length_is_in_exactly_one_bar(lengths: list[int]) -> None:
    histogram = build_histogram(lengths, unit="tokens")
    assert sum(histogram.counts) == len(lengths)
    assert len(histogram.edges) == len(histogram.counts) + 1 <= BARS + 3
    assert histogram.edges == sorted(set(histogram.edges))
    assert histogram.edges[0] <= min(lengths)
    assert histogram.edges[-1] > max(lengths)
    for start, end, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        assert count == sum(start <= length < end for length in lengths)


@given(lengths=LENGTHS, share=st.floats(0.01, 1))
def test_percentile_is_the_least_length_that_covers_the_share(lengths: list[int], share: float) -> None:
    found = percentile(sorted(lengths), share)
    assert found in lengths
    assert sum(length <= found for length in lengths) >= share * len(lengths) - 1e-6
    assert sum(length < found for length in lengths) < share * len(lengths) + 1e-6


def test_bars_have_round_edges_and_the_longest_rows_one_of_their_own() -> None:
    histogram = build_histogram([*range(100, 300), 5000], unit="characters")
    assert histogram.edges[:3] == [100, 110, 120]
    assert histogram.edges[-1] == 5001
    assert histogram.counts[-1] == 1
    assert histogram.percentiles == {"p50": 200, "p90": 280, "p95": 290, "p99": 298, "max": 5000}


def test_rows_over_the_cutoff_are_counted() -> None:
    histogram = build_histogram([10, 20, 30, 40], unit="tokens", cutoff=30)
    assert (histogram.cutoff, histogram.over_cutoff, histogram.over_share) == (30, 1, 0.25)
    assert build_histogram([10], unit="tokens").over_cutoff == 0


def test_no_lengths_give_no_bars() -> None:
    histogram = build_histogram([], unit="tokens")
    assert (histogram.edges, histogram.counts, histogram.percentiles["max"]) == ([], [], 0)


@given(lengths=LENGTHS)
def test_default_limit_cuts_no_short_row_and_at_most_a_twentieth_of_the_long_ones(lengths: list[int]) -> None:
    limit = default_max_length(lengths)
    if max(lengths) <= UNCUT_LENGTH:
        assert limit == max(lengths)
    else:
        assert limit >= UNCUT_LENGTH
        assert limit % LENGTH_MULTIPLE == 0
        assert sum(length > limit for length in lengths) <= 0.05 * len(lengths)


def test_default_limit_needs_lengths() -> None:
    with pytest.raises(ValueError, match="no lengths"):
        default_max_length([])
