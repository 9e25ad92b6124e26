"""1 where the answer contains the column's text."""

from collections.abc import Sequence
from typing import Any

from pipeline.reward_config import ContainsReward
from pipeline.rewards import RewardFunction
from pipeline.rewards.reference import references


def build(config: ContainsReward) -> RewardFunction:
    """The search; of several right answers one is enough."""
    fold = str.casefold if config.ignore_case else str

    def contains(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        rights = references(config.column, columns)
        return [
            float(any(fold(text) in fold(answer) for text in right))
            for answer, right in zip(completions, rights, strict=True)
        ]

    return contains
