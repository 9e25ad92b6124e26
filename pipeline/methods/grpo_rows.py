"""PromptEncoder: an example in, a prompt to sample answers for out, with what its rewards need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.chat_template import ChatTemplate, UnusableConversation
from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example
from pipeline.errors import InvalidConfig, Problem
from pipeline.events import RowDropped
from pipeline.model_manager import LoadedModel
from pipeline.reward_config import reward_names
from pipeline.rewards.prompts import RewardedPrompt, rewarded_prompt, row_problem


@dataclass(frozen=True)
class PromptRow:
    """A prompt as the model reads it, up to where its answer begins, and what the rewards are told of it."""

    prompt: RewardedPrompt
    rendered: str
    length: int
    max_answer_tokens: int

    @property
    def row(self) -> int:
        """Its 1-based number in the data set."""
        return self.prompt.row

    @property
    def tokens(self) -> int:
        """Tokens of the prompt."""
        return self.length

    @property
    def trained_tokens(self) -> int:
        """Tokens of an answer at most: what is trained on is sampled during the run."""
        return self.max_answer_tokens

    def cut(self, max_length: int) -> list[Self]:
        """Itself: a prompt that lost its end would ask something else."""
        return [self]


class PromptEncoder:
    """Renders prompts; drops rows that no reward can score, and prompts that leave no room for an answer.

    Raises:
        InvalidConfig: the answers alone would fill all that the model reads.
    """

    def __init__(self, config: FineTuneJobConfig, loaded: LoadedModel) -> None:
        self.config = config
        self.loaded = loaded
        self._template = ChatTemplate(loaded.tokenizer)
        self._names = reward_names(config.method.rewards)
        if config.method.max_completion_length >= loaded.context_length:
            raise InvalidConfig(
                [
                    Problem(
                        "method.max_completion_length",
                        f"answers of {config.method.max_completion_length} tokens leave no room for a prompt, because "
                        f"the model reads {loaded.context_length} at once. Lower it.",
                    )
                ]
            )

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[PromptRow]:
        """The prompts in their order; rows that cannot be used go to `on_dropped` with the reason."""
        rows = []
        for example in examples:
            prompt = rewarded_prompt(example)
            reason = self._reward_problem(prompt)
            if reason is None:
                encoded = self._encode(prompt, example)
                if isinstance(encoded, PromptRow):
                    rows.append(encoded)
                    continue
                reason = encoded
            on_dropped(RowDropped(row=example.row, reason=reason))
        return rows

    def _reward_problem(self, prompt: RewardedPrompt) -> str | None:
        problems = (
            row_problem(name, reward, prompt)
            for name, reward in zip(self._names, self.config.method.rewards, strict=True)
        )
        return next((problem for problem in problems if problem is not None), None)

    def _encode(self, prompt: RewardedPrompt, example: Example) -> PromptRow | str:
        """The row, or why there is none."""
        if not prompt.turns:
            return "nothing is asked in it"
        try:
            rendered = self._template.prompt(prompt.turns, example.tools)
        except UnusableConversation as error:
            return str(error)
        # The template has written the special tokens; adding them again would double the first one.
        length = len(self.loaded.tokenizer(rendered, add_special_tokens=False)["input_ids"])
        room, wanted = self.loaded.context_length - length, self.config.method.max_completion_length
        if room < wanted:
            return (
                f"its prompt of {length} tokens leaves room for {max(0, room)}, and answers may have {wanted} "
                "(method.max_completion_length)"
            )
        return PromptRow(prompt, rendered, length, wanted)
