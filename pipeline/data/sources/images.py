"""Keeps images under the hash of their content, so that equal images are kept once and a name tells nothing."""

import hashlib
import os
from pathlib import Path

from pipeline.data.row_store import IMAGES_FOLDER
from pipeline.errors import StorageFailed

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
# A photograph of 100 megapixels has about 40 MB.
_IMAGE_LIMIT_BYTES = 64 << 20


class NotAnImage(Exception):
    """The content is not an image that is read; the text is the reason, without a full stop."""


def image_suffix(content: bytes) -> str | None:
    """The file ending that the content asks for, or None where it is not an image of a kind that is read."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if content.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return ".gif"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return ".webp"
    # "BM" alone begins many a text; a bitmap has four zero bytes after its size.
    if content.startswith(b"BM") and content[6:10] == b"\0\0\0\0":
        return ".bmp"
    return None


class ImageKeeper:
    """Copies images to a data set's folder of images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content: bytes) -> dict[str, str]:
        """Keep an image; what a row holds in its place.

        Raises:
            NotAnImage: the content is not PNG, JPEG, WebP, GIF or BMP, or is too large.
            StorageFailed: it could not be written.
        """
        suffix = image_suffix(content)
        if suffix is None:
            raise NotAnImage("not a PNG, JPEG, WebP, GIF or BMP image")
        if len(content) > _IMAGE_LIMIT_BYTES:
            raise NotAnImage(f"an image of more than {_IMAGE_LIMIT_BYTES >> 20} MiB")
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
        if not path.exists():
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
                partial.write_bytes(content)
                partial.replace(path)
            except OSError as error:
                raise StorageFailed(
                    f"An image could not be written to {self._folder}: {error.strerror}. Free some space there."
                ) from error
        return {"path": f"{IMAGES_FOLDER}/{path.name}"}

    def has_kept(self, reference: str) -> bool:
        """Whether this is what `keep` has put into a row."""
        folder, _, file = reference.rpartition("/")
        return folder == IMAGES_FOLDER and (self._folder / file).is_file()

    def keep_file(self, path: Path) -> dict[str, str]:
        """Keep a copy of an image file. Raises as `keep` does."""
        if path.stat().st_size > _IMAGE_LIMIT_BYTES:
            raise NotAnImage(f"an image of more than {_IMAGE_LIMIT_BYTES >> 20} MiB")
        return self.keep(path.read_bytes())
