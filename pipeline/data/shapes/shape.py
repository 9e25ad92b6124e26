"""Shape: a public way to lay out rows, and what its recognition needs of the columns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.data.cells import decode_text
from pipeline.data.mapping import ColumnPart, Mapping, Parts
from pipeline.data.sample import Sample

SYSTEM_COLUMNS: Final = ("system", "system_prompt", "system_instruction", "system_message")
TOOLS_COLUMNS: Final = ("tools", "functions", "available_tools")
IMAGE_COLUMNS: Final = (
    "images",
    "image",
    "image_path",
    "image_url",
    "image_file",
    "img",
    "picture",
    "photo",
    "file_name",
)


@dataclass(frozen=True)
class Guess:
    """A mapping that the columns allow; `ceiling` is the highest confidence that it deserves."""

    mapping: Mapping
    reasons: tuple[str, ...] = ()
    ceiling: float = 1.0


@dataclass(frozen=True)
class Shape:
    """A public shape: its name, what a row of it looks like, what it makes of a sample, and what else it covers."""

    name: str
    row: str
    guess: Callable[[Sample], Iterator[Guess]]
    note: str = ""


def column_parts(sample: Sample, column: str | None, *, optional: bool = False) -> Parts:
    """The value of a column; nothing where there is no column."""
    if column is None:
        return ()
    return (ColumnPart(column=column, optional=optional, json_text=sample.is_json_text(column)),)


def answer_parts(sample: Sample, column: str) -> Parts:
    """The value of a column that holds an answer, or accepted answers in an object as SQuAD and TriviaQA have them."""
    cells = sample.cells(column)
    objects = [decode_text(cell) if isinstance(cell, str) else cell for cell in cells]
    # The second key tells such an object from an answer that is itself an object.
    for key, beside in (("text", "answer_start"), ("value", "aliases")):
        if 2 * sum(isinstance(item, dict) and key in item and beside in item for item in objects) > len(cells):
            return (ColumnPart(column=f"{column}.{key}", json_text=any(isinstance(cell, str) for cell in cells)),)
    return column_parts(sample, column)


def system_parts(sample: Sample) -> Parts:
    """The column with the system text of each row, if there is one."""
    return column_parts(sample, sample.find(*SYSTEM_COLUMNS, kinds=("text", "object", "turns")))


def tools_column(sample: Sample) -> str | None:
    """The column with the tools of each row, if there is one."""
    column = sample.find(*TOOLS_COLUMNS, kinds=("text", "list", "object", "texts"))
    if column is None or sample.kind(column) != "text":
        return column
    return column if all(decode_text(str(cell)) is not None for cell in sample.cells(column)) else None


def image_column(sample: Sample) -> str | None:
    """The column with the images of each row: called so, or holding nothing else but image data."""
    named = [column for name in IMAGE_COLUMNS if (column := sample.find(name)) is not None and sample.is_image(column)]
    held = [column for column in sample.columns if sample.kind(column) == "image"]
    return next(iter([*named, *held]), None)
