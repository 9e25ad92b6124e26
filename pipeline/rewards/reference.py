"""The right answer in a row's column, as the texts that an answer is compared with."""

import json
from collections.abc import Sequence
from typing import Any

from pipeline.data.cells import is_blank
from pipeline.errors import RewardFailed


def reference_texts(value: Any) -> tuple[str, ...]:
    """The texts that stand for a value, blanks at their ends taken off; none where it is blank.

    Numbers, true and false are written as JSON writes them, and so is an object, without blanks. Of a list, each item
    is a right answer of its own, as data sets of questions list them.
    """
    if is_blank(value):
        return ()
    match value:
        case str():
            return (value.strip(),)
        case list() | tuple():
            return tuple(text for item in value for text in reference_texts(item))
        case _:
            return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str),)


def references(column: str, columns: dict[str, Sequence[Any]]) -> list[tuple[str, ...]]:
    """The right answers of each row.

    Raises:
        RewardFailed: the data set has no such column.
    """
    if column not in columns:
        raise RewardFailed(missing_column(column, columns))
    return [reference_texts(value) for value in columns[column]]


def missing_column(column: str, columns: dict[str, Any]) -> str:
    """What to say where the data set lacks a column."""
    known = f"Its columns are: {', '.join(columns)}." if columns else "It has none besides the prompt."
    return f"the data set has no column {column!r}. {known}"
