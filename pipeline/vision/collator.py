"""Makes batches of rows with images: pads tokens, and reads the images of this batch only."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from transformers import ProcessorMixin

from pipeline.row_encoder import IGNORED
from pipeline.vision.images import UnreadableImage, open_image

LEFT_OUT = "left_out"
"""The entry of a batch that lists rows without a say in it: their numbers, each with the reason."""

_TYPE_NAMES = ("token_type_ids", "mm_token_type_ids")
_TEXT_INPUTS = ("input_ids", "attention_mask", *_TYPE_NAMES)


class ImageCollator:
    """Turns rows of `image_dataset` into the model's inputs.

    A row with an image that can no longer be read keeps its place, with a black image and nothing to train on.
    """

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        probe = processor(images=[[Image.new("RGB", (64, 64))]], text=[processor.image_token])
        # What tells the tokens of images from those of text has a name of its own in each architecture.
        self._type_names = [name for name in _TYPE_NAMES if name in probe]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Tensors of shape (rows, longest row), right-padded, and the pixels as the processor lays them out."""
        images, left_out = [], []
        labels = []
        for row in rows:
            opened, reason = _open(row)
            images.append(opened)
            labels.append(torch.full((len(row["labels"]),), IGNORED) if reason else torch.tensor(row["labels"]))
            if reason:
                left_out.append((row["row"], reason))
        ids = [torch.tensor(row["input_ids"]) for row in rows]
        types = [torch.tensor(kinds) for kinds in self.processor.create_mm_token_type_ids(ids)]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.processor.tokenizer.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
            **{name: pad_sequence(types, batch_first=True) for name in self._type_names},
            **self._pixels([row for row in images if row]),
            LEFT_OUT: left_out,
        }

    def _pixels(self, images: list[list[Image.Image]]) -> dict[str, torch.Tensor]:
        if not images:
            return {}
        texts = [self.processor.image_token * len(row) for row in images]
        inputs = self.processor(images=images, text=texts, padding=True, return_tensors="pt")
        return {name: value for name, value in inputs.items() if name not in _TEXT_INPUTS}


def _open(row: Mapping[str, Any]) -> tuple[list[Image.Image], str]:
    """The images of a row, and the reason where they cannot be used; they are black then."""
    sizes = [tuple(size) for size in row["sizes"]]
    try:
        images = [open_image(reference) for reference in row["images"]]
    except UnreadableImage as error:
        return [Image.new("RGB", size) for size in sizes], str(error)
    if [image.size for image in images] != sizes:
        return [Image.new("RGB", size) for size in sizes], "an image is not the one that it was when the run began"
    return images, ""
