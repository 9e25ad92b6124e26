"""Says whether a mapping fits the columns of a data set, before any row is read."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from pipeline.data.example import Format
from pipeline.data.mapping import ColumnPart, ImagePart, Mapping, Part, TemplatePart
from pipeline.data.parts import names_column, template_columns
from pipeline.errors import Problem

_SHOWN_COLUMNS = 20
_SIDES = ("system", "prompt", "completion", "chosen", "rejected", "text")
# The parts that each format cannot do without. A prompt may also be a conversation.
_NEEDED: dict[Format, tuple[str, ...]] = {
    "messages": ("conversation",),
    "prompt_completion": ("prompt", "completion"),
    "text": ("text",),
    "preference": ("chosen", "rejected"),
    "unpaired_preference": ("prompt", "completion", "label"),
    "prompt_only": ("prompt",),
}
_SATISFIED_BY_CONVERSATION: dict[Format, tuple[str, ...]] = {
    "unpaired_preference": ("prompt", "completion"),
    "prompt_only": ("prompt",),
}
# What a constant text cannot be: the same answer in every row teaches nothing.
_MUST_VARY = ("completion", "chosen", "rejected", "text")


def validate_mapping(mapping: Mapping, columns: Collection[str]) -> list[Problem]:
    """Everything that is wrong with a mapping for these columns: parts that its format needs, columns that are none.

    The field of a problem is the part's name in the mapping; the message is a sentence.
    """
    return [*_missing_parts(mapping), *_missing_columns(mapping, columns), *_constant_parts(mapping, columns)]


def mapped_columns(mapping: Mapping, columns: Collection[str]) -> set[str]:
    """The columns of the data set that a mapping uses."""
    named = {column for _, column in _named_columns(mapping)}
    parts = (part for side in _SIDES for part in _parts(mapping, side) if isinstance(part, TemplatePart))
    named.update(column for part in parts for column in template_columns(part.template, columns))
    return {column if column in columns else column.split(".")[0] for column in named} & set(columns)


def _missing_parts(mapping: Mapping) -> Iterator[Problem]:
    covered = _SATISFIED_BY_CONVERSATION.get(mapping.format, ()) if mapping.conversation is not None else ()
    for name in _NEEDED[mapping.format]:
        if not getattr(mapping, name) and name not in covered:
            yield Problem(name, f"The format {mapping.format} needs {name}. Say which column holds it.")


def _missing_columns(mapping: Mapping, columns: Collection[str]) -> Iterator[Problem]:
    for field, column in _named_columns(mapping):
        if column in columns or column.split(".")[0] in columns:
            continue
        by_lower = {name.strip().lower(): name for name in columns}
        close = [by_lower[name] for name in get_close_matches(column.strip().lower(), by_lower, n=2, cutoff=0.6)]
        known = list(columns)[:_SHOWN_COLUMNS]
        more = ", …" if len(columns) > _SHOWN_COLUMNS else ""
        cure = f"Did you mean {' or '.join(close)}?" if close else f"The columns are: {', '.join(known)}{more}."
        yield Problem(field, f"There is no column {column!r}. {cure}")


def _constant_parts(mapping: Mapping, columns: Collection[str]) -> Iterator[Problem]:
    for field in _MUST_VARY:
        parts = _parts(mapping, field)
        if parts and not any(names_column(part, columns) for part in parts):
            shown = ", ".join(list(columns)[:_SHOWN_COLUMNS])
            yield Problem(field, f"{field} is the same in every row. Name one of the columns in it: {shown}.")


def _named_columns(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Every column that a mapping names outright, with the field that names it."""
    if mapping.conversation is not None:
        yield "conversation", mapping.conversation.column
    for side in _SIDES:
        yield from ((side, part.column) for part in _parts(mapping, side) if isinstance(part, (ColumnPart, ImagePart)))
    for field in ("label", "tools", "images"):
        column = getattr(mapping, field)
        if column is not None:
            yield field, column


def _parts(mapping: Mapping, side: str) -> tuple[Part, ...]:
    parts: tuple[Part, ...] = getattr(mapping, side)
    return parts
