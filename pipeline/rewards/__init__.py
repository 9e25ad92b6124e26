"""What a reward is: a function that scores sampled answers, made by the module named after its kind."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast

# A reward's own configuration class; each module takes the one of its kind.
AnyReward: TypeAlias = Any
# What a function is always given; a column of one of these names is not.
ARGUMENTS = ("prompts", "completions")


class RewardFunction(Protocol):
    """Scores answers."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> Sequence[float]:
        """One score for each of `completions`, which answers the prompt at the same place in `prompts`.

        `columns` are those of the data set by name, with the value of each prompt's row; a row that lacks one has None.

        Raises:
            RewardFailed: no score can be given; says why.
        """


class RewardKind(Protocol):
    """A module of rewards."""

    def build(self, config: AnyReward) -> RewardFunction:
        """The function for this configuration.

        Raises:
            RewardFailed: the configuration cannot be used, such as a pattern that is none.
        """


def reward_for(kind: str) -> RewardKind:
    """The kind of reward in the module of this name."""
    return cast(RewardKind, import_module(f"pipeline.rewards.{kind}"))
