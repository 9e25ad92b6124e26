"""Turns the rows of a data set into examples, under the mapping that was chosen or recognised."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Format, UnusableRow
from pipeline.data.mapping import Mapping
from pipeline.data.recognise import describe_columns
from pipeline.data.row_store import NumberedRow, RowStore
from pipeline.data.validate_mapping import validate_mapping
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem
from pipeline.events import RowDropped

_DESCRIBED_ROWS = 50


@dataclass(frozen=True)
class ExampleSet:
    """All usable rows of a data set with the split of each, and those left out with the reason."""

    mapping: Mapping
    examples: list[Example] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    dropped: list[RowDropped] = field(default_factory=list)

    @property
    def format(self) -> Format:
        """The kind of example that the rows became."""
        return self.mapping.format


def choose_mapping(store: RowStore, config: DatasetConfig) -> Mapping:
    """The mapping that the user chose, else the recognised one.

    Raises:
        DataProblem: a named column does not exist, or nothing was recognised.
    """
    summary, chosen = store.summary, config.chosen_mapping
    if chosen is not None:
        problems = validate_mapping(chosen, summary.columns)
        if problems:
            raise DataProblem(" ".join(f"{summary.name}: {problem.message}" for problem in problems))
        return chosen
    if summary.recognition is None:
        described = describe_columns([item.row for item in islice(store.rows(), _DESCRIBED_ROWS)])
        raise DataProblem(f"The columns of {summary.name} were not recognised. {described} Say which column is what.")
    return summary.recognition.mapping


def examples_of(
    rows: Iterator[NumberedRow],
    mapping: Mapping,
    *,
    columns: Collection[str],
    split_column: str | None = None,
    keep_rows: bool = False,
) -> Iterator[tuple[str, Example | RowDropped]]:
    """Each row's split and its example, or the reason why it is none. `split_column` overrides the stored split;
    `columns` are all of the data set's, some of which a row may lack; with `keep_rows` examples carry their rows."""
    for item in rows:
        split = item.split if split_column is None else str(item.row.get(split_column, ""))
        try:
            yield split, build_example(item.number, item.row, mapping, columns=columns, keep_row=keep_rows)
        except UnusableRow as error:
            yield split, RowDropped(row=item.number, reason=str(error))


def read_examples(store: RowStore, config: DatasetConfig, *, keep_rows: bool = False) -> ExampleSet:
    """Every usable row of the data set; rows that cannot be used are listed with their numbers. With `keep_rows` each
    example carries all columns of its row, not only those that its format has a use for.

    Raises:
        DataProblem: its shape is not recognised, a named column does not exist, or no row is usable.
    """
    column = check_split_column(store, config)
    found = ExampleSet(choose_mapping(store, config))
    found.dropped.extend(RowDropped(row=item.row, reason=item.reason) for item in store.unreadable())
    columns = store.summary.columns
    rows = examples_of(store.rows(), found.mapping, columns=columns, split_column=column, keep_rows=keep_rows)
    for split, item in rows:
        if isinstance(item, RowDropped):
            found.dropped.append(item)
        else:
            found.examples.append(item)
            found.splits.append(split)
    found.dropped.sort(key=lambda dropped: dropped.row)
    if not found.examples:
        raise no_usable_row(store.summary.name, found.dropped[0])
    return found


def check_split_column(store: RowStore, config: DatasetConfig) -> str | None:
    """The column that says which split a row belongs to, if one was named. Raises DataProblem where it is missing."""
    column = config.split_column
    if column is not None and column not in store.summary.columns:
        known = ", ".join(store.summary.columns)
        raise DataProblem(f"{store.summary.name} has no column {column!r} to split by. Its columns are: {known}.")
    return column


def no_usable_row(name: str, first: RowDropped) -> DataProblem:
    """The problem of a data set in which nothing can be learned from."""
    return DataProblem(f"No row of {name} can be used. Row {first.row}: {first.reason}.")
