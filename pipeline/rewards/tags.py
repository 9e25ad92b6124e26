"""1 where the answer has the format of tags, such as <think>…</think> and <answer>…</answer>."""

from collections.abc import Sequence
from typing import Any

from pipeline.reward_config import TagsReward
from pipeline.rewards import RewardFunction

# What the tags earn that stand there once, while the whole is not yet as it should be.
_SHARE_OF_TAGS = 0.5


def build(config: TagsReward) -> RewardFunction:
    """The check of the format; text between tags may have any number of lines."""

    def tags(prompts: Sequence[str], completions: Sequence[str], **columns: Sequence[Any]) -> list[float]:
        return [_score(answer, config.tags) for answer in completions]

    return tags


def _score(answer: str, names: Sequence[str]) -> float:
    marks = [mark for name in names for mark in (f"<{name}>", f"</{name}>")]
    once = sum(answer.count(mark) == 1 for mark in marks)
    if once == len(marks) and _is_exactly(answer, names):
        return 1.0
    return _SHARE_OF_TAGS * once / len(marks)


def _is_exactly(answer: str, names: Sequence[str]) -> bool:
    rest = answer.strip()
    for name in names:
        inner, ended, after = rest.removeprefix(f"<{name}>").partition(f"</{name}>")
        if not rest.startswith(f"<{name}>") or not ended or not inner.strip():
            return False
        rest = after.lstrip()
    return not rest
