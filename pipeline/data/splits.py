"""Draws rows: those to hold out for evaluation, with near duplicates on one side, and samples."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOut:
    """Indices of the rows held out, how many were wanted, and the size of the largest group of near duplicates."""

    indices: frozenset[int]
    wanted: int
    largest_group: int

    @property
    def note(self) -> str:
        """What the user should know when the rows held out are not as many as wanted; empty when they are."""
        if len(self.indices) == self.wanted:
            return ""
        held = (
            f"{len(self.indices):,} instead of {self.wanted:,}" if self.indices else f"none instead of {self.wanted:,}"
        )
        return (
            f"The rows held out for evaluation are {held}: near-duplicates stay on one side, and the largest group of "
            f"them has {self.largest_group:,} rows. Remove near-duplicates, or give a separate evaluation file."
        )


def hold_out(groups: Sequence[int] | None, total: int, *, share: float | None, count: int | None, seed: int) -> HeldOut:
    """Choose which of `total` rows to hold out: a share of them, at least one, or a count. One row at least is kept.

    `groups` numbers each row's group; a group is held out as a whole or not at all. Groups are taken in an order that
    follows from `seed` as long as they fit, then one more if that comes closer. None: every row is its own group.

    Raises:
        ValueError: not exactly one of `share` and `count` is given, or `groups` is not as long as `total`.
    """
    if (share is None) == (count is None):
        raise ValueError("give one of share and count")
    if groups is not None and len(groups) != total:
        raise ValueError(f"{len(groups)} group numbers for {total} rows")
    wanted = _wanted_rows(total, share=share, count=count)
    chooser = random.Random(seed)  # noqa: S311 - not a secret
    if groups is None:
        return HeldOut(frozenset(chooser.sample(range(total), wanted)), wanted, min(total, 1))
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    order = list(members.values())
    chooser.shuffle(order)
    chosen = _fill(order, wanted, total=total)
    return HeldOut(frozenset(chosen), wanted, max(map(len, order), default=0))


def sample_rows(total: int, count: int, seed: int) -> list[int]:
    """`count` of the indices below `total`, or all of them, ascending. The same seed draws the same ones."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))  # noqa: S311 - not a secret


def _wanted_rows(total: int, *, share: float | None, count: int | None) -> int:
    if share is not None:
        count = max(1, round(total * share)) if share > 0 else 0
    return max(0, min(count or 0, total - 1))


def _fill(groups: list[list[int]], wanted: int, *, total: int) -> list[int]:
    """Members of the groups that fit in `wanted`, in their order; then of the smallest other, if that is closer."""
    chosen: list[int] = []
    closest: list[int] = []
    for group in groups:
        if len(chosen) + len(group) <= wanted:
            chosen += group
        elif not closest or len(group) < len(closest):
            closest = group
    missing = wanted - len(chosen)
    if closest and len(closest) - missing < missing and len(chosen) + len(closest) < total:
        chosen += closest
    return chosen
