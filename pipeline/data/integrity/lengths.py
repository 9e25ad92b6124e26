"""Lengths of rows: a histogram for the page, percentiles, and where rows are cut when nobody says."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# Rows up to this many tokens are never cut; beyond it, the longest twentieth may not decide the memory of a run.
UNCUT_LENGTH = 2048
LENGTH_PERCENTILE = 0.95
LENGTH_MULTIPLE = 64
BARS = 24
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


class LengthHistogram(BaseModel):
    """Rows by length. Bar i counts lengths from `edges[i]` up to, but not including, `edges[i + 1]`.

    Bars are equally wide but for the last, which reaches from the 99th percentile to the longest row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: Literal["characters", "tokens"]
    edges: list[int]
    counts: list[int]
    percentiles: dict[str, int] = Field(description="Lengths at p50, p90, p95, p99 and max.")
    cutoff: int | None = Field(None, description="Rows are cut at this length; None when they are not cut.")
    over_cutoff: int = Field(0, description="Rows longer than that.")
    over_share: float = 0.0


def build_histogram(
    lengths: Iterable[int], *, unit: Literal["characters", "tokens"], cutoff: int | None = None
) -> LengthHistogram:
    """The histogram of lengths in `unit`. Without lengths it has no bars."""
    ordered = sorted(lengths)
    if not ordered:
        return LengthHistogram(unit=unit, edges=[], counts=[], percentiles=dict.fromkeys(_PERCENTILES, 0))
    edges = _edges(ordered[0], percentile(ordered, 0.99), ordered[-1])
    below = [bisect_left(ordered, edge) for edge in edges]
    over = 0 if cutoff is None else len(ordered) - bisect_right(ordered, cutoff)
    return LengthHistogram(
        unit=unit,
        edges=edges,
        counts=[end - start for start, end in zip(below, below[1:], strict=False)],
        percentiles={name: percentile(ordered, share) for name, share in _PERCENTILES.items()},
        cutoff=cutoff,
        over_cutoff=over,
        over_share=over / len(ordered),
    )


def percentile(ordered: list[int], share: float) -> int:
    """The smallest of the ascending lengths that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def default_max_length(lengths: Iterable[int]) -> int:
    """Where rows of these lengths in tokens are cut when the configuration does not say.

    The longest row, up to UNCUT_LENGTH; beyond that the 95th percentile, rounded up to a multiple of 64.

    Raises:
        ValueError: there are no lengths.
    """
    ordered = sorted(lengths)
    if not ordered:
        raise ValueError("no lengths to choose a limit from")
    return length_limit(longest=ordered[-1], p95=percentile(ordered, LENGTH_PERCENTILE))


def length_limit(*, longest: int, p95: int) -> int:
    """The same limit, where only the longest and the 95th percentile are known."""
    if longest <= UNCUT_LENGTH:
        return longest
    return max(UNCUT_LENGTH, math.ceil(p95 / LENGTH_MULTIPLE) * LENGTH_MULTIPLE)


def _edges(shortest: int, usual: int, longest: int) -> list[int]:
    """Edges at multiples of 1, 2 or 5 times a power of ten, and one behind the longest."""
    widths = (factor * 10**power for power in range(18) for factor in (1, 2, 5))
    width = next(width for width in widths if width * (BARS - 1) > usual - shortest)
    edges = list(range(shortest // width * width, usual + width + 1, width))
    return edges if edges[-1] > longest else [*edges, longest + 1]
