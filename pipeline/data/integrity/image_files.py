"""Opens the images of a row to see that they are there and are images. Imported by child processes only."""

import warnings
from base64 import b64decode
from binascii import Error as Base64Error
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

Problem = tuple[str, str]
# Longer than any path: the text of an image, not the name of one.
_LONGEST_PATH = 1024
_REMEMBERED_IMAGES = 1 << 16


class ImageFiles:
    """Checks references to images below a data set's folder; each file is opened once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._check_file = lru_cache(maxsize=_REMEMBERED_IMAGES)(self._open_file)

    def problem(self, reference: str) -> Problem | None:
        """Code and reason of what is wrong with an image, or None. Web addresses are not fetched."""
        if reference.startswith("data:"):
            return _check_base64(reference.partition(",")[2])
        if "://" in reference[:16]:
            return "remote_images", f"its image is at {reference[:80]}"
        if len(reference) > _LONGEST_PATH:
            return _check_base64(reference)
        return self._check_file(reference)

    def _open_file(self, reference: str) -> Problem | None:
        try:
            path = (self.folder / reference).resolve()
        except ValueError:
            return "missing_images", "the name of its image has a NUL byte"
        if not path.is_relative_to(self.folder):
            return "missing_images", f"the image {reference[:80]} is outside the data set's folder"
        if not path.is_file():
            return "missing_images", f"the image {reference[:80]} is not there"
        return _check(path)


def _check_base64(text: str) -> Problem | None:
    try:
        content = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return "unreadable_images", "its image is not valid base64"
    return _check(BytesIO(content))


def _check(source: Path | BytesIO) -> Problem | None:
    name = source.name if isinstance(source, Path) else "in the row"
    try:
        with warnings.catch_warnings():
            # Pillow warns of images with more pixels than it takes for safe.
            warnings.simplefilter("error")
            with Image.open(source) as image:
                image.verify()
    except UnidentifiedImageError:
        return "unreadable_images", f"the image {name} is of no known kind"
    except (OSError, SyntaxError, ValueError, EOFError, Warning, Image.DecompressionBombError) as error:
        return "unreadable_images", f"the image {name} cannot be opened: {str(error)[:120]}"
    return None
