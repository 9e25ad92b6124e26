"""Puts the tokens that stand for images into the text of a row, as the model's processor would."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from transformers import ProcessorMixin

from pipeline.chat_template import Rendered, Span
from pipeline.errors import ModelUnavailable
from pipeline.vision.images import Size

_PROBE_SIZE = (64, 64)


class UnusableImages(Exception):
    """A row's images do not fit its text or the model; the text is the reason, without a full stop."""


@dataclass(frozen=True)
class Expanded:
    """A rendered conversation with the tokens of its images in it; `images` are the character spans of those."""

    text: str
    spans: list[Span]
    images: list[Span]


class Placeholders:
    """Knows what a processor writes for an image. That depends on its size alone, so each size is asked for once.

    Raises:
        ModelUnavailable: the processor does not tell what it writes.
    """

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        self._written: dict[Size, str] = {}
        try:
            self.token: str = processor.image_token
            self.for_size(_PROBE_SIZE)
        except (AttributeError, KeyError, IndexError, NotImplementedError, UnusableImages) as error:
            raise ModelUnavailable(
                f"{type(processor).__name__} does not tell which tokens stand for an image, so nobody could say which "
                "tokens of a row to train on. Choose a Gemma 3 or Gemma 4 model that sees images."
            ) from error

    def for_size(self, size: Size) -> str:
        """The text that takes the place of the image token for an image of this size.

        Raises:
            UnusableImages: the processor refuses the size.
        """
        if size not in self._written:
            try:
                output = self.processor(
                    images=[[Image.new("RGB", size)]],
                    text=[self.token],
                    add_special_tokens=False,
                    return_text_replacement_offsets=True,
                )
            except ValueError as error:
                raise UnusableImages(
                    f"an image of {size[0]} × {size[1]} pixels is refused: {str(error)[:120]}"
                ) from error
            self._written[size] = output["text_replacement_offsets"][0][0]["replacement"]
        return self._written[size]

    def expand(self, rendered: Rendered, sizes: Sequence[Size]) -> Expanded:
        """The conversation with the tokens of images of these `sizes` in the place of its image tokens, in order.

        Raises:
            UnusableImages: there are not as many image tokens as images, or the processor refuses a size.
        """
        *before, last = rendered.text.split(self.token)
        if len(before) != len(sizes):
            images = "1 image" if len(sizes) == 1 else f"{len(sizes)} images"
            raise UnusableImages(
                f"its text has {self.token} {len(before)} times, each standing for an image, and the row has {images}"
            )
        text, images, grown = "", [], []
        place = 0
        for piece, size in zip(before, sizes, strict=True):
            text, place = text + piece, place + len(piece)
            tokens = self.for_size(size)
            images.append((len(text), len(text) + len(tokens)))
            grown.append((place, len(tokens) - len(self.token)))
            text, place = text + tokens, place + len(self.token)
        spans = [(_moved(start, grown), _moved(end, grown)) for start, end in rendered.spans]
        return Expanded(text + last, spans, images)


def _moved(index: int, grown: Sequence[tuple[int, int]]) -> int:
    """Where an index of a text is once the text has grown; `grown` are places and by how much."""
    return index + sum(by for place, by in grown if place < index)
