"""Preference pairs as rows of token ids: one prompt with a chosen and a rejected answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from pipeline.chat_template import UnusableConversation
from pipeline.data.example import Example, UnusableRow
from pipeline.events import RowDropped
from pipeline.prompt_answer import PromptAnswer, PromptAnswerEncoder, PromptAnswerText


@dataclass(frozen=True)
class PreferenceRow:
    """Token ids of a prompt and of two answers to it, the ends of their turns included.

    The model reads `prompt_ids + chosen_ids` and `prompt_ids + rejected_ids`.
    """

    row: int
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def tokens(self) -> int:
        """Tokens that go through the model: the prompt twice, with each of the answers."""
        return 2 * len(self.prompt_ids) + self.trained_tokens

    @property
    def length(self) -> int:
        """Tokens of the prompt and the longer answer."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def trained_tokens(self) -> int:
        """Tokens of both answers."""
        return len(self.chosen_ids) + len(self.rejected_ids)

    def cut(self, max_length: int) -> list[Self]:
        """The row with the first `max_length` tokens of each sequence; nothing where the prompt fills them.

        Raises:
            UnusableRow: the answers differ only after that.
        """
        if self.length <= max_length:
            return [self]
        room = max_length - len(self.prompt_ids)
        if room <= 0:
            return []
        chosen, rejected = self.chosen_ids[:room], self.rejected_ids[:room]
        if chosen == rejected:
            raise UnusableRow(f"chosen and rejected differ only after the limit of {max_length} tokens")
        return [replace(self, chosen_ids=chosen, rejected_ids=rejected)]


class PreferenceEncoder:
    """Tokenises preference pairs. `end_id` is put behind each answer that does not end with it already."""

    def __init__(self, encoder: PromptAnswerEncoder, *, end_id: int | None = None) -> None:
        self._encoder = encoder
        self._end = [] if end_id is None else [end_id]

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[PreferenceRow]:
        """The rows in their order; pairs that cannot be compared go to `on_dropped` with the reason."""
        numbers, texts = [], []
        for example in examples:
            try:
                texts += self._render(example)
                numbers.append(example.row)
            except (UnusableRow, UnusableConversation) as error:
                on_dropped(RowDropped(row=example.row, reason=str(error)))
        answers = self._encoder.tokenize(texts)
        rows = []
        for number, chosen, rejected in zip(numbers, answers[::2], answers[1::2], strict=True):
            try:
                rows.append(self._row(number, chosen, rejected))
            except UnusableRow as error:
                on_dropped(RowDropped(row=number, reason=str(error)))
        return rows

    def _render(self, example: Example) -> tuple[PromptAnswerText, PromptAnswerText]:
        prompt, answers = example.messages, (example.chosen, example.rejected)
        chosen, rejected = (self._encoder.render(prompt, answer, example.tools) for answer in answers)
        if chosen.prompt != rejected.prompt:
            raise UnusableRow("the chat template writes the prompt in another way before the other answer")
        return chosen, rejected

    def _row(self, number: int, chosen: PromptAnswer, rejected: PromptAnswer) -> PreferenceRow:
        # Only one of the answers may have made one token with the end of the prompt; then it is not the prompt's.
        prompt_ids = min(chosen.prompt_ids, rejected.prompt_ids, key=len)
        chosen_ids, rejected_ids = (
            self._ended((side.prompt_ids + side.answer_ids)[len(prompt_ids) :]) for side in (chosen, rejected)
        )
        if chosen_ids == rejected_ids:
            raise UnusableRow("chosen and rejected are the same to the model")
        return PreferenceRow(number, prompt_ids, chosen_ids, rejected_ids)

    def _ended(self, ids: list[int]) -> list[int]:
        return ids if ids[-1:] == self._end else [*ids, *self._end]
