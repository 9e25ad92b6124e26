"""Weights that make up for more good than bad answers, or the other way round, in KTO."""

from typing import NamedTuple

# The good answers' share of the loss over the bad ones' is to lie between these
# (Ethayarajh et al. 2024, arXiv:2402.01306, equation 8).
LOWEST_RATIO = 1.0
HIGHEST_RATIO = 4 / 3
# Halfway, so that a rounded weight lies between them too.
_AIM = (LOWEST_RATIO + HIGHEST_RATIO) / 2
_HIGHEST_WEIGHT = 100.0


class LabelWeights(NamedTuple):
    """KTO's `desirable_weight` and `undesirable_weight`."""

    desirable: float
    undesirable: float


EQUAL = LabelWeights(1.0, 1.0)


def is_balanced(good: int, bad: int, weights: LabelWeights = EQUAL) -> bool:
    """Whether weighted good answers and weighted bad ones are within 1:1 and 4:3 of each other.

    Raises:
        ValueError: one of the counts is not positive.
    """
    if good < 1 or bad < 1:
        raise ValueError("answers of one kind have nothing to be balanced with")
    return LOWEST_RATIO <= good * weights.desirable / (bad * weights.undesirable) <= HIGHEST_RATIO


def label_weights(good: int, bad: int) -> LabelWeights:
    """The weights for so many good and bad answers: both 1 where that is balanced, else the rarer kind weighs more.

    Raises:
        ValueError: one of the counts is not positive.
    """
    if is_balanced(good, bad):
        return EQUAL
    factor = _AIM * bad / good
    heavier = _rounded(min(max(factor, 1 / factor), _HIGHEST_WEIGHT))
    lighter = _rounded(heavier / max(factor, 1 / factor))
    return LabelWeights(heavier, lighter) if factor > 1 else LabelWeights(lighter, heavier)


def _rounded(weight: float) -> float:
    return float(f"{weight:.3g}")
