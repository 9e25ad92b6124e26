"""1 where the answer equals the column's text."""

from collections.abc import Sequence
from typing import Any

from pipeline.reward_config import ExactMatchReward
from pipeline.rewards import RewardFunction
from pipeline.rewards.reference import references


def build(config: ExactMatchReward) -> RewardFunction:
    """The comparison; blanks at the ends do not count, and of several right answers each is right."""
    fold = str.casefold if config.ignore_case else str

    def exact_match(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        rights = references(config.column, columns)
        return [
            float(fold(answer.strip()) in map(fold, right)) for answer, right in zip(completions, rights, strict=True)
        ]

    return exact_match
