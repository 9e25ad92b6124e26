"""Scorer: a reward with its name and weight, whose scores are checked before anything learns from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from pipeline.errors import RewardFailed
from pipeline.reward_config import Reward, reward_names
from pipeline.rewards import ARGUMENTS, RewardFunction, reward_for


@dataclass(frozen=True)
class Scorer:
    """One reward of a run."""

    name: str
    weight: float
    function: RewardFunction

    def score(
        self, prompts: Sequence[str], completions: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> list[float]:
        """A finite number for each answer, not yet weighted.

        Raises:
            RewardFailed: the reward failed, or gave something else; names the reward.
        """
        try:
            others = {name: values for name, values in columns.items() if name not in ARGUMENTS}
            scores = self.function(prompts, completions, **others)
            return _checked(scores, len(completions))
        except RewardFailed as error:
            raise failure_of(self.name, error) from error


def build_scorer(name: str, reward: Reward) -> Scorer:
    """The reward, ready to score. Raises RewardFailed, with the reward's name."""
    try:
        return Scorer(name, reward.weight, reward_for(reward.kind).build(reward))
    except RewardFailed as error:
        raise failure_of(name, error) from error


def build_scorers(rewards: Sequence[Reward]) -> list[Scorer]:
    """All rewards of a run in their order. Raises RewardFailed, with the reward's name."""
    return [build_scorer(name, reward) for name, reward in zip(reward_names(rewards), rewards, strict=True)]


def failure_of(name: str, error: RewardFailed) -> RewardFailed:
    """The same failure, with the reward's name."""
    return RewardFailed(f"The reward {name} cannot be computed: {error}")


def _checked(scores: object, expected: int) -> list[float]:
    if isinstance(scores, str) or not isinstance(scores, Sequence):
        raise RewardFailed(
            f"it returned {type(scores).__name__} instead of a list of numbers. Return one number for each completion."
        )
    if len(scores) != expected:
        raise RewardFailed(
            f"it returned {len(scores)} numbers for {expected} completions. Return one number for each completion."
        )
    for place, score in enumerate(scores):
        if not isinstance(score, Real) or not math.isfinite(score):
            shown = repr(score) if isinstance(score, Real) else f"a {type(score).__name__}"
            raise RewardFailed(f"number {place + 1} of what it returned is {shown}. Return finite numbers.")
    return [float(score) for score in scores]
