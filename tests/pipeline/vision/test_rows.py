"""Rows with images: which tokens they have, which of them are trained on, and how they are cut."""

import json
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from transformers import ProcessorMixin

from pipeline.data.example import Example, Message, UnusableRow
from pipeline.events import RowDropped
from pipeline.row_encoder import IGNORED, RowEncoder
from pipeline.vision.rows import ImageRow, ImageRowEncoder
from tests.pipeline.vision.squares import draw_square
from tests.tiny_gemma import TOKENS_PER_IMAGE


@pytest.fixture
def square(tmp_path: Path) -> str:
    draw_square("red", seed=1).save(tmp_path / "square.png")
    return str(tmp_path / "square.png")


def example(*images: str, question: str = "Colour?", answer: str = "It is red.", row: int = 1) -> Example:
    asked = Message("user", question, images=images, image_positions=(0,) * len(images))
    return Example(row, messages=(asked, Message("assistant", answer)))


def encode(
    processor: ProcessorMixin, *examples: Example, train_on: Literal["assistant", "all"] = "assistant"
) -> tuple[list[ImageRow], list[RowDropped]]:
    dropped: list[RowDropped] = []
    return ImageRowEncoder(processor, train_on=train_on).encode(examples, on_dropped=dropped.append), dropped


def trained_text(processor: ProcessorMixin, row: ImageRow) -> str:
    return str(processor.tokenizer.decode([label for label in row.labels if label != IGNORED]))


def test_tokens_are_those_of_the_processor(processor: ProcessorMixin, square: str) -> None:
    (row,), _ = encode(processor, example(square, square))
    part = [{"type": "image", "image": Image.open(square)}]
    turns = [
        {"role": "user", "content": [*part, *part, {"type": "text", "text": "Colour?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "It is red."}]},
    ]
    encoded = processor.apply_chat_template(turns, tokenize=True, return_dict=True)
    assert [row.input_ids] == encoded["input_ids"]
    assert row.length == row.tokens == len(row.input_ids)
    assert row.input_ids.count(processor.tokenizer.image_token_id) == 2 * TOKENS_PER_IMAGE


def test_answers_are_trained_on(processor: ProcessorMixin, square: str) -> None:
    (row,), _ = encode(processor, example(square))
    assert trained_text(processor, row) == "It is red.<end_of_turn>\n"
    alone = processor.tokenizer("It is red.<end_of_turn>\n", add_special_tokens=False)["input_ids"]
    assert row.trained_tokens == len(alone)


def test_images_are_never_trained_on(processor: ProcessorMixin, square: str) -> None:
    (row,), _ = encode(processor, example(square), train_on="all")
    text = trained_text(processor, row)
    assert text == "<bos><start_of_turn>user\nColour?<end_of_turn>\n<start_of_turn>model\nIt is red.<end_of_turn>\n"
    assert row.labels.count(IGNORED) == len(
        processor.tokenizer(processor.full_image_sequence, add_special_tokens=False)["input_ids"]
    )


@pytest.mark.parametrize("train_on", ["assistant", "all"])
def test_rows_without_images_are_those_of_the_text_path(
    processor: ProcessorMixin, train_on: Literal["assistant", "all"]
) -> None:
    examples = [example(question="Hello?"), Example(2, text="Once upon a time.")]
    rows, _ = encode(processor, *examples, train_on=train_on)
    others = RowEncoder(processor.tokenizer, train_on=train_on).encode(examples, on_dropped=list[RowDropped]().append)
    by_number = {row.row: (row.input_ids, row.labels) for row in others}
    assert {row.row: (row.input_ids, row.labels) for row in rows} == by_number


def test_cut_goes_through_the_answer_but_never_through_an_image(processor: ProcessorMixin, square: str) -> None:
    (row,), _ = encode(processor, example(square))
    (cut,) = row.cut(row.length - 3)
    assert (cut.input_ids, cut.images) == (row.input_ids[:-3], row.images)
    assert cut.trained_tokens == row.trained_tokens - 3
    last = max(at for at, token in enumerate(row.input_ids) if token == processor.tokenizer.image_token_id)
    with pytest.raises(UnusableRow, match=rf"^its images do not fit into the limit of {last} tokens$"):
        row.cut(last)


@pytest.mark.parametrize("token", ["<start_of_image>", "<image_soft_token>"])
@pytest.mark.parametrize("with_image", [True, False])
def test_text_that_writes_an_images_tokens_is_dropped(
    processor: ProcessorMixin, square: str, token: str, with_image: bool
) -> None:
    images = (square,) if with_image else ()
    rows, dropped = encode(processor, example(*images, answer=f"I say {token}."), example(square, row=2))
    assert [row.row for row in rows] == [2]
    assert token in dropped[0].reason
    assert "stand" in dropped[0].reason


def test_image_that_is_gone_drops_its_row(processor: ProcessorMixin, square: str, tmp_path: Path) -> None:
    rows, dropped = encode(processor, example(str(tmp_path / "gone.png")), example(square, row=2))
    assert [row.row for row in rows] == [2]
    assert json.loads(dropped[0].model_dump_json())["reason"].startswith("the image gone.png cannot be read: ")
