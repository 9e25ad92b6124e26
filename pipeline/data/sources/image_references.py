"""Follows the image paths in rows to the files beside their table, and keeps those images."""

import posixpath
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.data.example import Row
from pipeline.data.sources.images import IMAGE_SUFFIXES, ImageKeeper, NotAnImage

# A path here can only mean an image; in other columns, one that leads nowhere is left as text.
_IMAGE_COLUMNS = ("image", "images", "file_name", "file_names")
# What tables for folders of images call them, and what the images are called in rows.
_RENAMED = {"file_name": "image", "file_names": "images"}
_PART_KEYS = ("image", "image_url", "path", "url")


class ImageReferences:
    """The images of a folder by their paths in it. A path in a row is only looked up here, never opened."""

    def __init__(self, files: Iterable[tuple[PurePosixPath, Path]], keeper: ImageKeeper) -> None:
        self._files = {str(inside): path for inside, path in files}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for inside in self._files:
            self._by_name[posixpath.basename(inside)].append(inside)
        self._keeper = keeper

    def follow(self, row: Row, table: PurePosixPath) -> Row:
        """The row with kept images in place of the paths; `table` is where its table stands in the folder.

        Raises:
            NotAnImage: a path leads to no file, or to one that is no image.
        """
        followed = {}
        for column, value in row.items():
            found = self._followed(value, table, is_image=column in _IMAGE_COLUMNS)
            name = _RENAMED.get(column, column)
            is_free = name == column or name not in row
            followed[name if found is not value and is_free else column] = found
        return followed

    def _followed(self, value: Any, table: PurePosixPath, *, is_image: bool) -> Any:
        """The value with images for paths; the value itself where it has none."""
        match value:
            case str():
                kept = self._kept(value, table, is_image=is_image)
                return value if kept is None else kept
            case {"path": str(path)} if len(value) == 1 or (len(value) == 2 and value.get("bytes", path) is None):
                kept = self._kept(path, table, is_image=is_image)
                return value if kept is None else kept
            case [dict(), *_] if any(map(_has_parts, value)):
                return [self._turn(turn, table) if _has_parts(turn) else turn for turn in value]
            case list():
                items = [self._followed(item, table, is_image=is_image) for item in value]
                changed = any(new is not old for new, old in zip(items, value, strict=True))
                return items if changed else value
            case _:
                return value

    def _turn(self, turn: Row, table: PurePosixPath) -> Any:
        return {**turn, "content": [self._part(part, table) for part in turn["content"]]}

    def _part(self, part: Any, table: PurePosixPath) -> Any:
        """A part of a message in which a path becomes `{"type": "image", "image": {"path": …}}`."""
        if not isinstance(part, dict):
            return part
        for key in _PART_KEYS:
            value = part.get(key)
            path = value.get("url", value.get("path")) if isinstance(value, dict) else value
            if isinstance(path, str):
                kept = self._kept(path, table, is_image=True)
                if kept is not None:
                    return {"type": "image", "image": kept}
        return part

    def _kept(self, value: str, table: PurePosixPath, *, is_image: bool) -> dict[str, str] | None:
        """What stands for the image at a path; None where the text is no path into the folder."""
        # Most texts are no paths, and some are images of megabytes in base64.
        if not value[-len(".jpeg") :].lower().endswith(IMAGE_SUFFIXES) or "\n" in value:
            return None
        path = value.replace("\\", "/")
        is_relative = not path.startswith(("/", "data:")) and "://" not in path
        if not is_relative:
            return None
        inside = self._find(posixpath.normpath(path), table)
        if inside is None:
            if is_image and not self._keeper.has_kept(value):
                raise NotAnImage(f"its image {value!r} is not in the folder")
            return None
        try:
            return self._keeper.keep_file(self._files[inside])
        except NotAnImage as error:
            raise NotAnImage(f"its image {value!r} is {error}") from error

    def _find(self, path: str, table: PurePosixPath) -> str | None:
        for candidate in (posixpath.normpath(posixpath.join(str(table.parent), path)), path):
            if candidate in self._files:
                return candidate
        # The images are often one folder deeper than the table says.
        ends = [inside for inside in self._by_name[posixpath.basename(path)] if inside.endswith(f"/{path}")]
        return ends[0] if len(ends) == 1 else None


def _has_parts(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("content"), list)
