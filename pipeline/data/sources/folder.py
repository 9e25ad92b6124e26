"""Reads a folder, or what came out of a zip: its tables with the images that they name, or its images alone."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.data.sources.archive import ARCHIVE_SUFFIXES
from pipeline.data.sources.image_folder import read_images
from pipeline.data.sources.image_references import ImageReferences
from pipeline.data.sources.images import IMAGE_SUFFIXES, ImageKeeper, NotAnImage
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.data.sources.split_names import splits_of
from pipeline.data.sources.table import DOCUMENT_SUFFIXES, TABLE_SUFFIXES, read_table
from pipeline.errors import DataProblem

_MOST_FILES = 500_000
# What stands beside the rows in published data sets.
_ABOUT = ("readme", "license", "licence", "changelog", "dataset_info", "dataset_infos", "dataset_dict", "state")


@dataclass
class _Contents:
    """The files of a folder by their paths in it, sorted by what they are."""

    tables: dict[PurePosixPath, Path] = field(default_factory=dict)
    documents: dict[PurePosixPath, Path] = field(default_factory=dict)
    images: dict[PurePosixPath, Path] = field(default_factory=dict)

    def is_caption(self, document: PurePosixPath) -> bool:
        """Whether a text has the name of an image beside it."""
        return any(document.with_suffix(suffix) in self.images for suffix in IMAGE_SUFFIXES)


def is_read(inside: PurePosixPath) -> bool:
    """Whether a file of a folder is looked at: a table, a text or an image, not hidden, not about the data set."""
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
    is_about = inside.name.lower().split(".")[0] in _ABOUT and not _ends_with(inside, IMAGE_SUFFIXES)
    return (
        not is_hidden
        and not is_about
        and _ends_with(inside, (*TABLE_SUFFIXES, *DOCUMENT_SUFFIXES, *IMAGE_SUFFIXES, *ARCHIVE_SUFFIXES))
    )


def read_folder(root: Path, name: str, keeper: ImageKeeper, workspace: Path | None) -> Iterator[tuple[str, str, Found]]:
    """What the files of a folder hold, with the file and the split of each.

    Where there is a table, texts are not rows and images are only read where rows name them. What is compressed is
    unpacked into `workspace`, or refused without one.

    Raises:
        DataProblem: there is nothing to read, or a file is unusable as a whole.
    """
    contents = _look_through(root, name)
    if not contents.tables and contents.images and all(map(contents.is_caption, contents.documents)):
        yield from read_images(contents.images, contents.documents, keeper)
        return
    tables = contents.tables or contents.documents
    if not tables:
        suffixes = ", ".join((*TABLE_SUFFIXES, *DOCUMENT_SUFFIXES))
        raise DataProblem(f"{name} holds no table and no images. Put a file into it that is one of {suffixes}.")
    references = ImageReferences(contents.images.items(), keeper) if contents.images else None
    for inside, split in splits_of(tables).items():
        for found in read_table(tables[inside], f"{name}/{inside}", keeper, workspace):
            yield str(inside), split, _follow(found, inside, references)


def _follow(found: Found, table: PurePosixPath, references: ImageReferences | None) -> Found:
    if references is None or not isinstance(found, Record):
        return found
    try:
        return found._replace(row=references.follow(found.row, table))
    except NotAnImage as error:
        return bad_text(str(error), str(found.row))


def _look_through(root: Path, name: str) -> _Contents:
    contents = _Contents()
    home = root.resolve()
    count = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            count += 1
            if count > _MOST_FILES:
                raise DataProblem(f"{name} holds more than {_MOST_FILES:,} files. Give the folder of the data alone.")
            path = Path(folder) / file
            inside = PurePosixPath(path.relative_to(root).as_posix())
            if is_read(inside):
                _check_place(path, inside, home, name)
                _sort_in(path, inside, contents, name)
    return contents


def _check_place(path: Path, inside: PurePosixPath, home: Path, name: str) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(home):
        raise DataProblem(f"{name}/{inside} is a link to a place outside of the folder. Copy the file into it.")
    if not path.is_file():
        raise DataProblem(f"{name}/{inside} is no ordinary file. Take it out of the folder.")


def _sort_in(path: Path, inside: PurePosixPath, contents: _Contents, name: str) -> None:
    if _ends_with(inside, IMAGE_SUFFIXES):
        contents.images[inside] = path
    elif _ends_with(inside, TABLE_SUFFIXES):
        contents.tables[inside] = path
    elif _ends_with(inside, DOCUMENT_SUFFIXES):
        contents.documents[inside] = path
    else:
        raise DataProblem(f"{name} holds an archive, {inside}. Unpack it there, or give the archive by itself.")


def _ends_with(inside: PurePosixPath, suffixes: tuple[str, ...]) -> bool:
    return inside.name.lower().endswith(suffixes)
