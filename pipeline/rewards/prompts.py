"""What a reward is told about a row: its prompt as text, and its columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.data.example import Example, Message
from pipeline.reward_config import (
    ContainsReward,
    ExactMatchReward,
    JudgeReward,
    NumericReward,
    RegexReward,
    Reward,
)
from pipeline.rewards.numeric import last_number
from pipeline.rewards.reference import reference_texts

# The column in which the answer of a row is offered whose data set has none of that name.
ANSWER = "answer"
_WITH_COLUMN = (ExactMatchReward, ContainsReward, RegexReward, NumericReward, JudgeReward)


@dataclass(frozen=True)
class RewardedPrompt:
    """A row to sample answers for: the turns before the answer, the same as one text, and the columns."""

    row: int
    turns: tuple[Message, ...]
    text: str
    columns: dict[str, Any]


def rewarded_prompt(example: Example) -> RewardedPrompt:
    """The prompt of an example; an answer that it ends with is taken off and becomes the column `answer`, unless the
    data set has one."""
    turns, columns = example.messages or (), dict(example.extra)
    if turns and turns[-1].role == "assistant":
        turns, columns = turns[:-1], {ANSWER: turns[-1].content} | columns
    return RewardedPrompt(example.row, turns, _as_text(turns), columns)


def row_problem(name: str, reward: Reward, prompt: RewardedPrompt) -> str | None:
    """Why no answer to this prompt can be scored, without a full stop; None where one can. `name` is the reward's."""
    column = needed_column(reward)
    if column is None:
        return None
    right = reference_texts(prompt.columns.get(column))
    if not right:
        return f"its column {column!r} is empty, and the reward {name} compares with it"
    if isinstance(reward, NumericReward) and all(last_number(text) is None for text in right):
        return f"its column {column!r} holds no number, and the reward {name} compares with one"
    return None


def needed_column(reward: Reward) -> str | None:
    """The column that a reward compares with; None for one that looks at the answer alone, or at what it likes."""
    return reward.column if isinstance(reward, _WITH_COLUMN) else None


def column_names(prompts: Sequence[RewardedPrompt]) -> list[str]:
    """The names of all columns, in the order in which they appear."""
    return list(dict.fromkeys(name for prompt in prompts for name in prompt.columns))


def columns_of(prompts: Sequence[RewardedPrompt], *, names: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of these names, a value for each prompt; None where a row lacks it."""
    return {name: [prompt.columns.get(name) for prompt in prompts] for name in names}


def _as_text(turns: tuple[Message, ...]) -> str:
    """What the user wrote where it is all there is; else every turn with its role."""
    if [turn.role for turn in turns] == ["user"]:
        return turns[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
