"""Answers marked good or bad, as rows of token ids."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.chat_template import UnusableConversation
from pipeline.data.example import Example, Message
from pipeline.events import RowDropped
from pipeline.prompt_answer import PromptAnswerEncoder


@dataclass(frozen=True)
class UnpairedRow:
    """Token ids of a prompt and of one answer to it, and whether the answer is good.

    The ids stay whole when the row is cut: the answer is also read after other prompts, which leave it another length.
    """

    row: int
    prompt_ids: list[int]
    answer_ids: list[int]
    good: bool
    max_length: int | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and of what is left of the answer."""
        whole = len(self.prompt_ids) + len(self.answer_ids)
        return whole if self.max_length is None else min(whole, self.max_length)

    @property
    def length(self) -> int:
        """Tokens of its longest sequence: the only one."""
        return self.tokens

    @property
    def trained_tokens(self) -> int:
        """Tokens of the answer that are left."""
        return self.tokens - len(self.prompt_ids)

    def cut(self, max_length: int) -> "list[UnpairedRow]":
        """The row with the end of its answer cut off; nothing where the prompt leaves no room for an answer."""
        return [replace(self, max_length=max_length)] if len(self.prompt_ids) < max_length else []


class UnpairedEncoder:
    """Makes one row of an answer with a label, and a good and a bad row of a pair of answers."""

    def __init__(self, encoder: PromptAnswerEncoder) -> None:
        self._encoder = encoder

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[UnpairedRow]:
        """The rows in their order; examples that cannot be rendered go to `on_dropped`."""
        numbers, labels, texts = [], [], []
        for example in examples:
            answers = list(_answers(example))
            try:
                rendered = [self._encoder.render(example.messages, turns, example.tools) for turns, _ in answers]
            except UnusableConversation as error:
                on_dropped(RowDropped(row=example.row, reason=str(error)))
                continue
            texts += rendered
            labels += [good for _, good in answers]
            numbers += [example.row] * len(answers)
        tokenized = self._encoder.tokenize(texts)
        return [
            UnpairedRow(number, ids.prompt_ids, ids.answer_ids, good)
            for number, ids, good in zip(numbers, tokenized, labels, strict=True)
        ]


def _answers(example: Example) -> Iterator[tuple[Sequence[Message], bool]]:
    """The answers of an example, each with whether it is good."""
    if example.rejected is None:
        yield example.chosen, example.label
    else:
        yield example.chosen, True
        yield example.rejected, False
