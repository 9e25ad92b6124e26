"""Reads a folder of images that has no table: the folders' names are the labels, texts beside images the captions."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.data.example import Row
from pipeline.data.sources.images import ImageKeeper, NotAnImage
from pipeline.data.sources.records import BadRecord, Found, Record
from pipeline.data.sources.split_names import split_name, splits_of


def read_images(
    images: dict[PurePosixPath, Path], captions: dict[PurePosixPath, Path], keeper: ImageKeeper
) -> Iterator[tuple[str, str, Found]]:
    """A row `{image, label, text}` for each image, with its path and split.

    `label` is the image's folder, where every image is in one that names no split and there are several. `text` is
    what the .txt of the same name says, where there is one.
    """
    labels = {inside: _label(inside) for inside in images}
    is_labelled = None not in labels.values() and len(set(labels.values())) > 1
    for inside, split in splits_of(images).items():
        try:
            row: Row = {"image": keeper.keep_file(images[inside])}
            if is_labelled:
                row["label"] = labels[inside]
            caption = captions.get(inside.with_suffix(".txt"))
            if caption is not None:
                row["text"] = caption.read_bytes().decode("utf-8-sig").strip("\r\n")
        except NotAnImage as error:
            yield str(inside), split, BadRecord(str(error), "")
        except UnicodeDecodeError:
            yield str(inside), split, BadRecord("its caption is not UTF-8 text", "")
        else:
            yield str(inside), split, Record(row)


def _label(inside: PurePosixPath) -> str | None:
    folder = inside.parent.name
    return folder if folder and split_name(folder) is None else None
