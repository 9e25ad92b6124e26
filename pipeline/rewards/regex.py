"""1 where a pattern is found in the answer, and says what the column says if there is one."""

from collections.abc import Sequence
from typing import Any

from pipeline.errors import RewardFailed
from pipeline.reward_config import RegexReward
from pipeline.rewards import RewardFunction
from pipeline.rewards.bounded_regex import BoundedRegex
from pipeline.rewards.reference import references


def build(config: RegexReward) -> RewardFunction:
    """The search, with the compiled pattern."""
    pattern, column = BoundedRegex(config.pattern, dot_matches_all=True), config.column
    if column is None:
        return lambda prompts, completions, **columns: [float(bool(pattern.search(answer))) for answer in completions]
    if pattern.groups == 0:
        raise RewardFailed(
            f"{config.pattern!r} has no group to compare with the column {column!r}. Put the part that says the "
            "answer in brackets, or take the column out."
        )

    def regex_group(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        found = [pattern.search(answer) for answer in completions]
        said = [match[1].strip() if match and match[1] is not None else None for match in found]
        return [float(text in right) for text, right in zip(said, references(column, columns), strict=True)]

    return regex_group
