"""Held-out rows as prompts: what the model is asked, and what it should answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from transformers import PreTrainedTokenizerBase

from pipeline.chat_template import ChatTemplate, UnusableConversation
from pipeline.data.example import Example, Message
from pipeline.prompt_answer import PromptAnswerEncoder

# Of a plain text, the model is given this many tokens at most and goes on from there.
_OPENING_TOKENS = 32
_SHORTEST_TEXT = 4


@dataclass(frozen=True)
class HeldOutPrompt:
    """A prompt as token ids, its last turn as people read it, and the right answer where the row has one.

    `reference_tokens` are the answer's, the end of its turn included; 0 where there is none.
    """

    row: int
    ids: list[int]
    shown: str
    reference: str | None
    reference_tokens: int = 0
    is_continuation: bool = False


def held_out_prompts(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    count: int,
    keep: Callable[[HeldOutPrompt], bool],
) -> list[HeldOutPrompt]:
    """The first `count` rows that make a prompt to `keep`; the others are passed over.

    Raises:
        ModelUnavailable: the model's chat template is needed and cannot be used.
    """
    return list(islice(filter(keep, _prompts(examples, tokenizer)), count))


def _prompts(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> Iterator[HeldOutPrompt]:
    reader = _Reader(tokenizer)
    for example in examples:
        try:
            prompt = reader.opening(example) if example.messages is None else reader.question(example)
        except UnusableConversation:
            # It was told when the row was encoded.
            continue
        if prompt is not None:
            yield prompt


class _Reader:
    """Reads examples, each piece of the chat template examined when the first row needs it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._pairs: PromptAnswerEncoder | None = None
        self._template: ChatTemplate | None = None

    def question(self, example: Example) -> HeldOutPrompt | None:
        """A conversation up to its last answer."""
        turns = (*example.messages, *(example.chosen or ()))
        if not turns or turns[-1].role != "assistant":
            return self._without_answer(example, turns)
        if self._pairs is None:
            self._pairs = PromptAnswerEncoder(self.tokenizer)
        *before, answer = turns
        if not before:
            return None
        (pair,) = self._pairs.tokenize([self._pairs.render(before, [answer], example.tools)])
        # An answer marked bad is not what the model should say.
        is_right = example.label is not False
        return HeldOutPrompt(
            row=example.row,
            ids=pair.prompt_ids,
            shown=before[-1].content,
            reference=self._reference(answer, pair.answer_ids) if is_right else None,
            reference_tokens=len(pair.answer_ids) if is_right else 0,
        )

    def opening(self, example: Example) -> HeldOutPrompt | None:
        """The first words of a text; what follows them is the reference."""
        text, bos = example.text, self.tokenizer.bos_token
        ids = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
        if len(ids) < _SHORTEST_TEXT:
            return None
        border = min(_OPENING_TOKENS, len(ids) // 2)
        opening, rest = (self._decode(part) for part in (ids[:border], ids[border:]))
        return HeldOutPrompt(example.row, ids[:border], opening, rest, len(ids) - border, is_continuation=True)

    def _without_answer(self, example: Example, turns: Sequence[Message]) -> HeldOutPrompt | None:
        if not turns:
            return None
        if self._template is None:
            self._template = ChatTemplate(self.tokenizer)
        text = self._template.prompt(turns, example.tools)
        # The template has written the special tokens; adding them again would double the first one.
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return HeldOutPrompt(example.row, ids, turns[-1].content, reference=None)

    def _reference(self, answer: Message, ids: list[int]) -> str:
        """The answer as the model would have to write it; calls of tools are written as its template has them."""
        return self._decode(ids).strip() if answer.tool_calls else answer.content

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
