"""RowEncoder: one example in, token ids and labels out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from transformers import PreTrainedTokenizerBase

from pipeline.chat_template import ChatTemplate, UnusableConversation, mask_tokens
from pipeline.data.example import Example
from pipeline.events import RowDropped

# The label that PyTorch's and transformers' losses skip.
IGNORED = -100


@dataclass(frozen=True)
class TokenizedRow:
    """Token ids of one row and, for each, the label: itself where it is trained on, else IGNORED."""

    row: int
    input_ids: list[int]
    labels: list[int]

    @property
    def tokens(self) -> int:
        """Tokens that go through the model."""
        return len(self.input_ids)

    @property
    def length(self) -> int:
        """Tokens of its longest sequence: the only one."""
        return len(self.input_ids)

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss. The first token of a row is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])

    def cut(self, max_length: int) -> "list[TokenizedRow]":
        """Its first `max_length` tokens."""
        return [replace(self, input_ids=self.input_ids[:max_length], labels=self.labels[:max_length])]


class RowEncoder:
    """Tokenises examples; the labels follow `train_on` (assistant or all)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, train_on: Literal["assistant", "all"]) -> None:
        self.tokenizer = tokenizer
        self.train_on = train_on
        self._template: ChatTemplate | None = None

    @property
    def template(self) -> ChatTemplate:
        """The chat template, examined when the first conversation needs it."""
        if self._template is None:
            self._template = ChatTemplate(self.tokenizer)
        return self._template

    def text(self, example: Example) -> str:
        """A conversation as the model reads it. Raises UnusableConversation where the template refuses it."""
        return self.template.render(example.messages or (), example.tools).text

    def encode(self, examples: list[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[TokenizedRow]:
        """The tokenised rows in their order; rows that the template cannot render go to `on_dropped`."""
        rows, numbers, conversations = [], [], []
        for example in examples:
            if example.messages is None:
                rows.append(self._encode_text(example))
                continue
            try:
                conversations.append(self.template.render(example.messages, example.tools))
                numbers.append(example.row)
            except UnusableConversation as error:
                on_dropped(RowDropped(row=example.row, reason=str(error)))
        if conversations:
            # The template has written the special tokens; adding them again would double the first one.
            encoded = self.tokenizer(
                [item.text for item in conversations], add_special_tokens=False, return_offsets_mapping=True
            )
            columns = zip(numbers, conversations, encoded["input_ids"], encoded["offset_mapping"], strict=True)
            for number, conversation, ids, offsets in columns:
                spans = conversation.spans if self.train_on == "assistant" else [(0, len(conversation.text))]
                mask = mask_tokens(offsets, spans)
                labels = [token if trained else IGNORED for token, trained in zip(ids, mask, strict=True)]
                rows.append(TokenizedRow(number, ids, labels))
        return rows

    def _encode_text(self, example: Example) -> TokenizedRow:
        text, bos, eos = example.text, self.tokenizer.bos_token, self.tokenizer.eos_token
        ids: list[int] = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
        if eos and ids[-1:] != [self.tokenizer.eos_token_id]:
            ids.append(self.tokenizer.eos_token_id)
        return TokenizedRow(example.row, ids, list(ids))
