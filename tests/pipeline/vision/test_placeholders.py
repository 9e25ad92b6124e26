"""The tokens of images in a row's text are those that the processor writes."""

import pytest
from PIL import Image
from transformers import ProcessorMixin

from pipeline.chat_template import Rendered
from pipeline.errors import ModelUnavailable
from pipeline.vision.placeholders import Placeholders, UnusableImages

TEXT = "<bos>See <start_of_image> and <start_of_image>. Answer: red."


def test_text_is_the_processors(processor: ProcessorMixin) -> None:
    sizes = [(60, 40), (10, 90)]
    expanded = Placeholders(processor).expand(Rendered(TEXT, []), sizes)
    ids = processor.tokenizer(expanded.text, add_special_tokens=False)["input_ids"]
    images = [Image.new("RGB", size, "red") for size in sizes]
    assert [ids] == processor(images=[images], text=[TEXT], add_special_tokens=False)["input_ids"]


def test_spans_move_with_the_text(processor: ProcessorMixin) -> None:
    def span(part: str) -> tuple[int, int]:
        return TEXT.index(part), TEXT.index(part) + len(part)

    expanded = Placeholders(processor).expand(Rendered(TEXT, [span("See "), span(" and "), span("red.")]), [(9, 9)] * 2)
    assert [expanded.text[start:end] for start, end in expanded.spans] == ["See ", " and ", "red."]
    assert [expanded.text[start:end] for start, end in expanded.images] == [processor.full_image_sequence] * 2


def test_text_that_writes_the_image_token_is_refused(processor: ProcessorMixin) -> None:
    with pytest.raises(UnusableImages, match=r"^its text has <start_of_image> 2 times, .* has 1 image$"):
        Placeholders(processor).expand(Rendered(TEXT, []), [(9, 9)])


def test_processor_that_hides_its_tokens_is_refused(processor: ProcessorMixin) -> None:
    processor.image_token = "no token of this"
    with pytest.raises(ModelUnavailable, match=r"^Gemma3Processor does not tell which tokens stand for an image"):
        Placeholders(processor)
