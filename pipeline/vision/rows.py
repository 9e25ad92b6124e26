"""Rows with images: token ids, labels, and where the images are; pixels only when a batch is made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from pipeline.chat_template import ChatTemplate, UnusableConversation, mask_tokens
from pipeline.data.example import Example, UnusableRow
from pipeline.events import RowDropped
from pipeline.row_encoder import IGNORED, RowEncoder, TokenizedRow
from pipeline.vision.images import Size, UnreadableImage, image_size
from pipeline.vision.placeholders import Expanded, Placeholders, UnusableImages
from pipeline.vision.turns import image_template


@dataclass(frozen=True)
class ImageRow(TokenizedRow):
    """A tokenised row whose tokens include those of its images, which need not be any.

    `images` are references that `open_image` takes, `sizes` the images' sizes; the last token of an image is the one
    before `images_end`.
    """

    images: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    images_end: int = 0

    def cut(self, max_length: int) -> list[Self]:
        """Its first `max_length` tokens.

        Raises:
            UnusableRow: an image would be cut, too.
        """
        if self.images_end > max_length:
            raise UnusableRow(f"its images do not fit into the limit of {max_length} tokens")
        return [replace(self, input_ids=self.input_ids[:max_length], labels=self.labels[:max_length])]


class ImageRowEncoder:
    """Tokenises conversations with images, and others; an image's own tokens are never trained on."""

    def __init__(self, processor: ProcessorMixin, *, train_on: Literal["assistant", "all"]) -> None:
        self.tokenizer = processor.tokenizer
        self.train_on = train_on
        self.placeholders = Placeholders(processor)
        self._image_ids = set(processor.image_token_ids)
        self._template: ChatTemplate | None = None

    @property
    def template(self) -> ChatTemplate:
        """The chat template, examined when the first conversation needs it."""
        if self._template is None:
            self._template = image_template(self.tokenizer)
        return self._template

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[ImageRow]:
        """The tokenised rows in their order; of the images only headers are read."""
        rows = []
        for example in examples:
            try:
                rows.append(self._encode(example))
            except (UnusableConversation, UnusableImages, UnreadableImage) as error:
                on_dropped(RowDropped(row=example.row, reason=str(error)))
        return rows

    def _encode(self, example: Example) -> ImageRow:
        if example.messages is None:
            (row,) = RowEncoder(self.tokenizer, train_on="all").encode([example], on_dropped=_nothing)
            return self._row(example.row, row.input_ids, row.labels, in_image=[False] * len(row.input_ids))
        images, sizes, expanded = self._expand(example)
        # The template has written the special tokens; adding them again would double the first one.
        encoded = self.tokenizer(expanded.text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        in_image = mask_tokens(offsets, expanded.images)
        spans = expanded.spans if self.train_on == "assistant" else [(0, len(expanded.text))]
        trained = [wanted and not image for wanted, image in zip(mask_tokens(offsets, spans), in_image, strict=True)]
        labels = [token if train else IGNORED for token, train in zip(ids, trained, strict=True)]
        row = self._row(example.row, ids, labels, in_image=in_image)
        return replace(row, images=images, sizes=sizes)

    def text(self, example: Example) -> str:
        """A conversation as the model reads it, the tokens of its images included.

        Raises:
            UnusableConversation, UnusableImages, UnreadableImage: it cannot be rendered.
        """
        return self._expand(example)[2].text

    def _expand(self, example: Example) -> tuple[tuple[str, ...], tuple[Size, ...], Expanded]:
        turns = example.messages or ()
        images = tuple(image for turn in turns for image in turn.images)
        sizes = tuple(image_size(image) for image in images)
        return images, sizes, self.placeholders.expand(self.template.render(turns, example.tools), sizes)

    def _row(self, number: int, ids: list[int], labels: list[int], *, in_image: list[bool]) -> ImageRow:
        stray = {token for token, inside in zip(ids, in_image, strict=True) if not inside} & self._image_ids
        if stray:
            written = self.tokenizer.convert_ids_to_tokens(sorted(stray))[0]
            raise UnusableImages(f"its text has {written}, which stands for a part of an image")
        end = max((index + 1 for index, inside in enumerate(in_image) if inside), default=0)
        return ImageRow(number, ids, labels, images_end=end)


def row_encoder(
    tokenizer: PreTrainedTokenizerBase, processor: ProcessorMixin | None, *, train_on: Literal["assistant", "all"]
) -> RowEncoder | ImageRowEncoder:
    """What tokenises rows: for images, too, where there is the processor of a model that sees."""
    if processor is None:
        return RowEncoder(tokenizer, train_on=train_on)
    return ImageRowEncoder(processor, train_on=train_on)


def image_dataset(rows: Sequence[ImageRow]) -> Dataset:
    """The rows as the trainer samples them: numbers, tokens, and references to images."""
    return Dataset.from_dict(
        {
            "row": [row.row for row in rows],
            "input_ids": [row.input_ids for row in rows],
            "labels": [row.labels for row in rows],
            "images": [list(row.images) for row in rows],
            "sizes": [[list(size) for size in row.sizes] for row in rows],
        }
    )


def _nothing(dropped: RowDropped) -> None:
    """Plain text is always usable."""
