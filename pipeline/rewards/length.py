"""1 where the answer is neither too short nor too long."""

from collections.abc import Sequence
from typing import Any

from pipeline.reward_config import LengthReward
from pipeline.rewards import RewardFunction


def build(config: LengthReward) -> RewardFunction:
    """The measure, in characters without blanks at the ends."""

    def length(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        return [_score(len(answer.strip()), config) for answer in completions]

    return length


def _score(characters: int, config: LengthReward) -> float:
    if characters < config.minimum:
        return characters / config.minimum
    return max(0.0, min(1.0, 2.0 - characters / config.maximum))
