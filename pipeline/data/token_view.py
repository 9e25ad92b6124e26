"""TokenView: one row as the trainer sees it, token by token: trained on, only read, or cut off."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from pipeline.chat_template import ChatTemplate, UnusableConversation, mask_tokens
from pipeline.data.example import Example, Message
from pipeline.data.integrity.image_files import ImageFiles
from pipeline.errors import DataProblem
from pipeline.row_encoder import IGNORED, RowEncoder
from pipeline.vision.images import UnreadableImage, readable
from pipeline.vision.rows import ImageRowEncoder, row_encoder

State = Literal["trained", "context", "truncated"]


@dataclass(frozen=True)
class ViewedToken:
    """One token: its id, the text it stands for, what becomes of it, and whether it is a special token."""

    id: int
    text: str
    state: State
    special: bool


@dataclass(frozen=True)
class TokenSequence:
    """One sequence that goes through the model. A row of the preference format has two: chosen and rejected."""

    title: str
    tokens: list[ViewedToken]

    @property
    def counts(self) -> dict[str, int]:
        """Tokens by state, and all of them."""
        states = [token.state for token in self.tokens]
        return {"all": len(states), **{state: states.count(state) for state in ("trained", "context", "truncated")}}


def view_tokens(
    example: Example,
    tokenizer: PreTrainedTokenizerBase,
    *,
    train_on: Literal["assistant", "all"],
    max_length: int | None,
    processor: ProcessorMixin | None = None,
    folder: Path | None = None,
) -> list[dict[str, Any]]:
    """The sequences of an example as plain data. Tokens past `max_length` are truncated; None cuts nothing.

    With the `processor` of a model that sees, the images below the data set's `folder` are tokens, too.

    Raises:
        DataProblem: the chat template cannot render the row, or an image of it cannot be opened.
        ModelUnavailable: the tokenizer has no usable chat template.
    """
    encoder = row_encoder(tokenizer, processor, train_on=train_on)
    try:
        if processor is not None and folder is not None:
            example = readable(example, ImageFiles(folder))
        if example.chosen is not None:
            answers = {"chosen": example.chosen, "rejected": example.rejected}
            sequences = [
                _answer(title, example, turns, encoder.template, max_length)
                for title, turns in answers.items()
                if turns is not None
            ]
        elif example.messages is not None and example.messages[-1].role != "assistant":
            text = encoder.template.prompt(example.messages, example.tools)
            ids, offsets = _encode(tokenizer, text)
            sequences = [_sequence("prompt", tokenizer, text, ids, offsets, [False] * len(ids), max_length)]
        else:
            sequences = [_row("row", example, encoder, max_length)]
    except (UnusableConversation, UnreadableImage) as error:
        raise DataProblem(f"Row {example.row} cannot be rendered: {error}.") from error
    return [
        {"title": item.title, "counts": item.counts, "tokens": [asdict(t) for t in item.tokens]} for item in sequences
    ]


def _row(title: str, example: Example, encoder: RowEncoder | ImageRowEncoder, max_length: int | None) -> TokenSequence:
    dropped: list[str] = []
    rows = encoder.encode([example], on_dropped=lambda row: dropped.append(row.reason))
    if not rows:
        raise UnusableConversation(dropped[0])
    ids, trained = rows[0].input_ids, [label != IGNORED for label in rows[0].labels]
    # The first token of a row is never predicted.
    trained[0] = False
    if example.messages is not None:
        text = encoder.text(example)
        _, offsets = _encode(encoder.tokenizer, text)
    else:
        text, bos = example.text or "", encoder.tokenizer.bos_token
        encoded = encoder.tokenizer(
            text, add_special_tokens=not (bos and text.startswith(bos)), return_offsets_mapping=True
        )
        # The end of text that is put behind the row covers none of its characters.
        offsets = [*encoded["offset_mapping"], *[(0, 0)] * (len(ids) - len(encoded["input_ids"]))]
    return _sequence(title, encoder.tokenizer, text, ids, offsets, trained, max_length)


def _answer(
    title: str, example: Example, turns: tuple[Message, ...], template: ChatTemplate, max_length: int | None
) -> TokenSequence:
    """The prompt with one of the two answers; the answer is what the loss compares."""
    prompt = example.messages or ()
    rendered = template.render((*prompt, *turns), example.tools)
    before = template.prompt(prompt, example.tools) if prompt else ""
    ids, offsets = _encode(template.tokenizer, rendered.text)
    start = len(before) if rendered.text.startswith(before) else 0
    mask = mask_tokens(offsets, [(start, len(rendered.text))])
    return _sequence(title, template.tokenizer, rendered.text, ids, offsets, mask, max_length)


def _sequence(
    title: str,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    trained: Sequence[bool],
    max_length: int | None,
) -> TokenSequence:
    special = set(tokenizer.all_special_ids) | {
        index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    tokens, last = [], (0, 0)
    for position, (token, (start, end)) in enumerate(zip(ids, offsets, strict=True)):
        # A token without characters of its own is an added one, or a further byte of the character before.
        own = end > start and (start, end) != last
        shown = text[start:end] if own else str(tokenizer.convert_ids_to_tokens(int(token)))
        last = (start, end)
        state: State = "trained" if trained[position] else "context"
        if max_length is not None and position >= max_length:
            state = "truncated"
        tokens.append(ViewedToken(int(token), shown, state, token in special))
    return TokenSequence(title, tokens)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]
