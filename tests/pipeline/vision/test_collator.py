"""Batches of rows with images are what the processor makes of them, whatever happens to a file meanwhile."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, ProcessorMixin

from pipeline.data.example import Example, Message
from pipeline.row_encoder import IGNORED
from pipeline.vision.collator import LEFT_OUT, ImageCollator
from pipeline.vision.rows import ImageRowEncoder, image_dataset
from tests.pipeline.vision.squares import COLOURS, draw_square


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{colour}.png") for colour in COLOURS]
    for seed, (colour, path) in enumerate(zip(COLOURS, paths, strict=True)):
        draw_square(colour, seed=seed, size=(60 + 10 * seed, 40)).save(path)
    return paths


def conversations(pictures: list[str]) -> list[Example]:
    """Rows of different lengths with two, no and one image."""
    chosen = [pictures[:2], [], pictures[2:]]
    questions = ["Compare these two, please.", "Hello?", "Colour?"]
    return [
        Example(
            row,
            messages=(
                Message("user", question, images=tuple(images), image_positions=(0,) * len(images)),
                Message("assistant", "red." * row),
            ),
        )
        for row, (images, question) in enumerate(zip(chosen, questions, strict=True), start=1)
    ]


def rows_of(processor: ProcessorMixin, examples: list[Example]) -> list[dict[str, Any]]:
    encoder = ImageRowEncoder(processor, train_on="assistant")
    return list(image_dataset(encoder.encode(examples, on_dropped=[].append)))


def test_batch_is_the_processors(processor: ProcessorMixin, pictures: list[str]) -> None:
    batch = ImageCollator(processor)(rows_of(processor, conversations(pictures)))
    turns = [
        [
            {
                "role": message.role,
                "content": [
                    *({"type": "image", "image": Image.open(path)} for path in message.images),
                    {"type": "text", "text": message.content},
                ],
            }
            for message in example.messages or ()
        ]
        for example in conversations(pictures)
    ]
    processor.tokenizer.padding_side = "right"
    theirs = processor.apply_chat_template(
        turns, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs={"padding": True}
    )
    assert batch.pop(LEFT_OUT) == []
    labels = batch.pop("labels")
    assert set(batch) == set(theirs)
    assert all(torch.equal(batch[name], theirs[name]) for name in theirs)
    assert labels.shape == batch["input_ids"].shape
    assert (labels[batch["attention_mask"] == 0] == IGNORED).all()
    trained = labels != IGNORED
    assert torch.equal(labels[trained], batch["input_ids"][trained])


def test_batch_without_images_has_no_pixels(processor: ProcessorMixin, pictures: list[str]) -> None:
    batch = ImageCollator(processor)(rows_of(processor, conversations(pictures)[1:2]))
    assert set(batch) == {"input_ids", "attention_mask", "labels", "token_type_ids", LEFT_OUT}
    assert not batch["token_type_ids"].any()


@pytest.mark.parametrize("harm", ["delete", "cut", "swap"])
def test_image_that_changed_takes_its_row_out_and_no_other(
    processor: ProcessorMixin, pictures: list[str], tiny_seeing: Path, harm: str
) -> None:
    rows = rows_of(processor, conversations(pictures))
    whole = ImageCollator(processor)(rows)
    path = Path(pictures[2])
    match harm:
        case "delete":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-200])
        case "swap":
            Image.new("RGB", (9, 9)).save(path)
    batch = ImageCollator(processor)(rows)
    ((row, reason),) = batch.pop(LEFT_OUT)
    assert row == 3
    assert ("not the one" if harm == "swap" else "the image white.png cannot be read") in reason
    assert (batch["labels"][2] == IGNORED).all()
    assert torch.equal(batch["labels"][:2], whole["labels"][:2])
    assert batch["pixel_values"].shape == whole["pixel_values"].shape
    assert torch.equal(batch["pixel_values"][:2], whole["pixel_values"][:2])
    model = AutoModelForImageTextToText.from_pretrained(tiny_seeing)
    alone = ImageCollator(processor)(rows[:2])
    alone.pop(LEFT_OUT)
    with torch.inference_mode():
        assert model(**batch).loss.item() == pytest.approx(model(**alone).loss.item(), rel=1e-5)


def test_collator_can_be_sent_to_other_processes(processor: ProcessorMixin, pictures: list[str]) -> None:
    rows = rows_of(processor, conversations(pictures))
    Path(pictures[2]).unlink()
    collator = ImageCollator(processor)
    # Spawning or forking this process, with the threads of a whole test session, would prove something else.
    there, here = pickle.loads(pickle.dumps(collator))(rows), collator(rows)  # noqa: S301 - just made here
    assert there[LEFT_OUT] == here[LEFT_OUT] != []
    assert torch.equal(there["pixel_values"], here["pixel_values"])
