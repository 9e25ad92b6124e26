"""Opens the images of rows: from the data set's folder or from the row itself, never from the web."""

import warnings
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pipeline.data.example import Example
from pipeline.data.examples import ExampleSet
from pipeline.data.integrity.image_files import ImageFiles
from pipeline.events import RowDropped

Size = tuple[int, int]
"""Width and height in pixels, as seen."""

_DATA_URI = "data:"
# Longer than any path: the text of an image, not the name of one.
_LONGEST_PATH = 1024
# EXIF orientations in which the stored rows are the columns of what is seen.
_LYING_ON_THE_SIDE = (5, 6, 7, 8)


class UnreadableImage(Exception):
    """An image cannot be read; the text is the reason, without a full stop."""


def keep_readable(found: ExampleSet, folder: Path) -> ExampleSet:
    """The rows whose images are there and open, with references that `open_image` takes; the others are dropped.

    Only headers are read. Paths must lead into the data set's `folder`.
    """
    files = ImageFiles(folder)
    kept = ExampleSet(found.mapping, dropped=list(found.dropped))
    for example, split in zip(found.examples, found.splits, strict=True):
        try:
            kept.examples.append(readable(example, files))
            kept.splits.append(split)
        except UnreadableImage as error:
            kept.dropped.append(RowDropped(row=example.row, reason=str(error)))
    kept.dropped.sort(key=lambda dropped: dropped.row)
    return kept


def readable(example: Example, files: ImageFiles) -> Example:
    """The example with references that `open_image` takes: absolute paths, and base64 text as data addresses.

    Raises:
        UnreadableImage: an image is not there, is outside of the data set's folder, or does not open.
    """
    if not any(_references(example)):
        return example
    _refuse_problems(example, files)
    turns = [
        replace(turn, images=tuple(_anchor(image, files.folder) for image in turn.images)) for turn in example.messages
    ]
    return replace(example, messages=tuple(turns))


def regroup_by_images(examples: Sequence[Example], groups: Sequence[int]) -> list[int]:
    """For each row the index of the first of its group. Rows with images belong together where they show the same,
    whatever they ask; the others as `groups`, the groups by their texts, has them.

    The same question about another image is another row, and a second question about the same image gives it away.
    """
    first: dict[tuple[str, ...] | int, int] = {}
    regrouped = []
    for index, (example, group) in enumerate(zip(examples, groups, strict=True)):
        images = tuple(_references(example))
        regrouped.append(first.setdefault(images if images else group, index))
    return regrouped


def image_size(reference: str) -> Size:
    """The size of an image as it is seen, from its header.

    Raises:
        UnreadableImage: it cannot be opened.
    """
    with _opened(reference) as image:
        width, height = image.size
        lies = image.getexif().get(ExifTags.Base.Orientation) in _LYING_ON_THE_SIDE
        return (height, width) if lies else (width, height)


def open_image(reference: str) -> Image.Image:
    """The image as it is seen: upright, in RGB; of an animation the first picture.

    Raises:
        UnreadableImage: it cannot be opened, or breaks off.
    """
    with _opened(reference) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


@contextmanager
def _opened(reference: str) -> Iterator[Image.Image]:
    in_row = reference.startswith(_DATA_URI)
    name = "in the row" if in_row else Path(reference).name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pillow warns of images with more pixels than it takes for safe.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(b64decode(reference.partition(",")[2])) if in_row else reference) as image:
                yield image
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"the image {name} is of no known kind") from error
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, Warning, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:120]
        raise UnreadableImage(f"the image {name} cannot be read: {reason}") from error


def _refuse_problems(example: Example, files: ImageFiles) -> None:
    for reference in _references(example):
        problem = files.problem(reference)
        if problem is not None:
            code, reason = problem
            cure = ", which is not fetched; download it and import it with the table" if code == "remote_images" else ""
            raise UnreadableImage(reason + cure)


def _references(example: Example) -> Iterator[str]:
    for turn in example.messages or ():
        yield from turn.images


def _anchor(reference: str, folder: Path) -> str:
    if reference.startswith(_DATA_URI):
        return reference
    return f"{_DATA_URI};base64,{reference}" if len(reference) > _LONGEST_PATH else str(folder / reference)
