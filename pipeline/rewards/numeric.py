"""1 where the last number of the answer is the last number of the column."""

import math
import re
from collections.abc import Sequence
from typing import Any

from pipeline.reward_config import NumericReward
from pipeline.rewards import RewardFunction
from pipeline.rewards.reference import references

# A sign counts only where no number or word stands right before it: 10-5 ends in 5. Commas group three digits.
_NUMBER = re.compile(
    r"(?:(?<![\w.,])[-+\u2212])?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?"
    r"|(?:(?<![\w.,])[-+\u2212])?(?<![0-9])\.[0-9]+"
)


def build(config: NumericReward) -> RewardFunction:
    """The comparison, within the tolerance relative to the right number."""

    def numeric(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        rights = [[last_number(text) for text in right] for right in references(config.column, columns)]
        return [
            float(any(_is_close(last_number(answer), number, config.tolerance) for number in right))
            for answer, right in zip(completions, rights, strict=True)
        ]

    return numeric


def last_number(text: str) -> float | None:
    """The last number in a text: with a sign, commas between thousands, a point, an exponent; None where there is
    none."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("\N{MINUS SIGN}", "-")) if found else None


def _is_close(said: float | None, right: float | None, tolerance: float) -> bool:
    if said is None or right is None:
        return False
    return math.isclose(said, right, rel_tol=tolerance, abs_tol=tolerance if right == 0 else 0.0)
