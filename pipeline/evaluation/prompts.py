"""A held-out row as a prompt: what the model is asked, and what it should answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipeline.chat_template import ChatTemplate
from pipeline.data.example import Example, Message
from pipeline.prompt_answer import PromptAnswerEncoder
from pipeline.vision.rows import ImageRow

# Of a plain text, the model is given this many tokens at most and goes on from there.
_OPENING_TOKENS = 32
_SHORTEST_TEXT = 4
_IMAGE = "[image]"


@dataclass(frozen=True)
class HeldOutPrompt:
    """A prompt as token ids, its last turn as people read it, and the right answer where the row has one.

    `reference_tokens` are the answer's, the end of its turn included; 0 where there is none. `image_row` is the row
    that the prompt is the beginning of, where it has images.
    """

    row: int
    ids: list[int]
    shown: str
    reference: str | None
    reference_tokens: int = 0
    is_continuation: bool = False
    image_row: ImageRow | None = None


class QuestionReader:
    """Reads conversations for a model of text; the chat template is examined when the first of them needs it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._pairs: PromptAnswerEncoder | None = None
        self._template: ChatTemplate | None = None

    def read(self, example: Example) -> HeldOutPrompt | None:
        """The conversation up to its last answer, or all of it where it has none; None where nothing is asked.

        Raises:
            UnusableConversation: the template cannot render it, or it has images.
            ModelUnavailable: the template cannot be used.
        """
        turns = (*example.messages, *(example.chosen or ()))
        if not turns or turns[-1].role != "assistant":
            return self._without_answer(example, turns) if turns else None
        *before, answer = turns
        if not before:
            return None
        if self._pairs is None:
            self._pairs = PromptAnswerEncoder(self.tokenizer)
        (pair,) = self._pairs.tokenize([self._pairs.render(before, [answer], example.tools)])
        # An answer marked bad is not what the model should say.
        is_right = example.label is not False
        return HeldOutPrompt(
            row=example.row,
            ids=pair.prompt_ids,
            shown=as_shown(before[-1]),
            reference=reference_text(answer, pair.answer_ids, self.tokenizer) if is_right else None,
            reference_tokens=len(pair.answer_ids) if is_right else 0,
        )

    def _without_answer(self, example: Example, turns: Sequence[Message]) -> HeldOutPrompt:
        if self._template is None:
            self._template = ChatTemplate(self.tokenizer)
        text = self._template.prompt(turns, example.tools)
        # The template has written the special tokens; adding them again would double the first one.
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return HeldOutPrompt(example.row, ids, as_shown(turns[-1]), reference=None)


def text_opening(example: Example, tokenizer: PreTrainedTokenizerBase) -> HeldOutPrompt | None:
    """The first words of a plain text, with what follows them as the reference; None where there are too few."""
    text, bos = example.text, tokenizer.bos_token
    ids = tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
    if len(ids) < _SHORTEST_TEXT:
        return None
    border = min(_OPENING_TOKENS, len(ids) // 2)
    opening, rest = (_decoded(part, tokenizer) for part in (ids[:border], ids[border:]))
    return HeldOutPrompt(example.row, ids[:border], opening, rest, len(ids) - border, is_continuation=True)


def reference_text(answer: Message, ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The answer as the model would have to write it; calls of tools are written as its template has them."""
    return _decoded(ids, tokenizer).strip() if answer.tool_calls else answer.content


def as_shown(message: Message) -> str:
    """The text of a turn with a mark where an image stands."""
    text, start = "", 0
    for position in message.image_positions:
        text, start = f"{text}{message.content[start:position]}{_IMAGE}", position
    return text + message.content[start:]


def _decoded(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
