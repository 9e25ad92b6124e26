"""The images of a row: what in a cell is one, and where in the turns each of them stands."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from pipeline.data.example import Message, UnusableRow

# The place of an image that a turn announces and the row's images column holds.
OPEN_PLACE = ""
IMAGE_MARKER = "<image>"
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# What the first bytes of PNG, JPEG, GIF, WebP and BMP files become in base64.
_BASE64_BEGINNINGS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk")
_KEYS = ("bytes", "base64", "data", "path", "url", "uri", "image", "image_url", "source")


def image_reference(value: Any) -> str | None:
    """The path, address, data URI or base64 text that stands for an image; None where the value is none."""
    match value:
        case str():
            return value if value and not value.isspace() else None
        case bytes():
            return b64encode(value).decode()
        case dict():
            found = (image_reference(value[key]) for key in _KEYS if key in value)
            return next((reference for reference in found if reference is not None), None)
        case _:
            return None


def image_references(value: Any, *, what: str) -> tuple[str, ...]:
    """The images in one cell: none, one, or a list of them.

    Raises:
        UnusableRow: an item of the cell is no image.
    """
    references = []
    for item in value if isinstance(value, list) else (value,):
        if item in (None, "", {}):
            continue
        reference = image_reference(item)
        if reference is None:
            raise UnusableRow(f"{what} holds something that is no image")
        references.append(reference)
    return tuple(references)


def looks_like_image(value: Any) -> bool:
    """Whether a value is an image by itself, or text that can only stand for one."""
    match value:
        case bytes():
            return True
        case str():
            if value.startswith(("data:image/", *_BASE64_BEGINNINGS)) and " " not in value[:200]:
                return value.startswith("data:") or len(value) > 60  # noqa: PLR2004 - no file of an image is smaller
            return len(value) < 2000 and not any(c.isspace() for c in value) and _ends_as_image(value)  # noqa: PLR2004
        case dict():
            keys = value.keys() & {"bytes", "path", "url", "base64"}
            return any(isinstance(value[key], (str, bytes)) and looks_like_image(value[key]) for key in keys)
        case list():
            return bool(value) and all(not isinstance(item, list) and looks_like_image(item) for item in value)
        case _:
            return False


def place_images(messages: Sequence[Message], references: Sequence[str]) -> list[Message]:
    """The turns with the images of the row's images column at their places, in order.

    Places are those that the turns announce, else the `<image>` markers in the user's text; without either, all
    images stand before the first text of the user.

    Raises:
        UnusableRow: there are more or fewer places than images.
    """
    announced = sum(message.images.count(OPEN_PLACE) for message in messages)
    marked = sum(message.content.count(IMAGE_MARKER) for message in messages if message.role == "user")
    if not references:
        if announced:
            raise UnusableRow(f"the turns show {_images(announced)}, but the row has none")
        return list(messages)
    rest = iter(references)
    if announced == len(references):
        return [_fill(message, rest) for message in messages]
    if not announced and marked == len(references):
        return [mark_places(message, rest) if message.role == "user" else message for message in messages]
    if not announced and not marked:
        first = next((index for index, message in enumerate(messages) if message.role == "user"), 0)
        shown = replace(messages[first], images=tuple(references), image_positions=(0,) * len(references))
        return [*messages[:first], shown, *messages[first + 1 :]]
    raise UnusableRow(f"the row has {_images(len(references))}, but its turns have places for {announced or marked}")


def mark_places(message: Message, references: Any) -> Message:
    """The turn with an image from the iterator `references` in place of each `<image>` marker of its text."""
    pieces = message.content.split(IMAGE_MARKER)
    positions, length = [], 0
    for piece in pieces[:-1]:
        length += len(piece)
        positions.append(length)
    images = tuple(islice(references, len(positions)))
    return replace(message, content="".join(pieces), images=images, image_positions=tuple(positions))


def _fill(message: Message, rest: Any) -> Message:
    if OPEN_PLACE not in message.images:
        return message
    return replace(message, images=tuple(image if image != OPEN_PLACE else next(rest) for image in message.images))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _ends_as_image(text: str) -> bool:
    return text.partition("?")[0].lower().endswith(_ENDINGS)
