"""Recognises the shape of a data set's rows and turns each into one example: a conversation, or plain text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.config import DatasetConfig
from pipeline.data_files import Row, read_rows
from pipeline.errors import DataProblem
from pipeline.events import RowDropped

Format = Literal["messages", "prompt_completion", "text"]

# Column pairs of the field's usual single-turn data sets, the first match wins.
PROMPT_COMPLETION_COLUMNS = (
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("question", "answer"),
    ("input", "output"),
    ("query", "response"),
    ("prompt", "response"),
    ("prompt", "answer"),
)
MESSAGES_COLUMN = "messages"
TEXT_COLUMN = "text"
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """A usable row: `messages` of a conversation, or plain `text`; exactly one of them is set."""

    row: int
    messages: tuple[Message, ...] | None = None
    text: str | None = None


@dataclass(frozen=True)
class Layout:
    """How the rows are shaped: the format and the columns that carry it."""

    format: Format
    columns: tuple[str, ...]
    prompt_column: str | None = None
    completion_column: str | None = None


@dataclass(frozen=True)
class ExampleSet:
    """All usable rows of a file, and those left out with the reason."""

    layout: Layout
    examples: list[Example]
    dropped: list[RowDropped] = field(default_factory=list)

    @property
    def format(self) -> Format:
        """Shape of the rows."""
        return self.layout.format


def read_examples(path: Path, config: DatasetConfig) -> ExampleSet:
    """Every usable row of the file at `path`; rows that cannot be used are listed with their numbers.

    Raises:
        DataProblem: the file cannot be read, its shape is not recognised, or no row is usable.
    """
    found: ExampleSet | None = None
    for number, row in read_rows(path):
        if found is None:
            found = ExampleSet(recognise_layout(row, config, file_name=path.name), [])
        try:
            found.examples.append(_example(number, row, found.layout))
        except _UnusableRow as error:
            found.dropped.append(RowDropped(row=number, reason=str(error)))
    if found is None or not found.examples:
        reason = f" Row {found.dropped[0].row}: {found.dropped[0].reason}." if found else ""
        raise DataProblem(f"No row of {path.name} can be used.{reason}")
    return found


def recognise_layout(row: Row, config: DatasetConfig, *, file_name: str) -> Layout:
    """The layout of a data set, seen in its first row and what the user has said about it.

    Raises:
        DataProblem: the columns fit no known format, or a named column does not exist.
    """
    columns = tuple(row)
    by_lower = {str(column).strip().lower(): column for column in columns}
    if config.prompt_column is not None or config.completion_column is not None:
        return _mapped_layout(columns, config, file_name=file_name)
    if config.format in ("auto", "messages") and isinstance(row.get(by_lower.get(MESSAGES_COLUMN, "")), list):
        return Layout("messages", columns)
    if config.format in ("auto", "prompt_completion"):
        for prompt, completion in PROMPT_COMPLETION_COLUMNS:
            if prompt in by_lower and completion in by_lower:
                return Layout("prompt_completion", columns, by_lower[prompt], by_lower[completion])
    if config.format in ("auto", "text") and TEXT_COLUMN in by_lower:
        return Layout("text", columns)
    shown = ", ".join(str(column) for column in columns[:12]) + (", …" if len(columns) > 12 else "")
    raise DataProblem(
        f"The columns of {file_name} were not recognised: {shown}. Name the question column and the answer column, "
        "or use one of: messages; prompt and completion; instruction and output; question and answer; text."
    )


class _UnusableRow(Exception):
    """The reason why one row is left out."""


def _mapped_layout(columns: tuple[str, ...], config: DatasetConfig, *, file_name: str) -> Layout:
    for label, name in (("question", config.prompt_column), ("answer", config.completion_column)):
        if name is None:
            raise DataProblem(f"Only one of the two columns is named. Name the {label} column of {file_name} too.")
        if name not in columns:
            raise DataProblem(f"{file_name} has no column {name!r}. Its columns are: {', '.join(columns)}.")
    return Layout("prompt_completion", columns, config.prompt_column, config.completion_column)


def _example(number: int, row: Row, layout: Layout) -> Example:
    match layout.format:
        case "messages":
            column = next(name for name in layout.columns if name.strip().lower() == MESSAGES_COLUMN)
            return Example(number, messages=_conversation(row.get(column)))
        case "prompt_completion":
            return Example(number, messages=_single_turn(row, layout))
        case "text":
            column = next(name for name in layout.columns if name.strip().lower() == TEXT_COLUMN)
            return Example(number, text=_content(row.get(column), what="text"))


def _single_turn(row: Row, layout: Layout) -> tuple[Message, ...]:
    if layout.prompt_column is None or layout.completion_column is None:
        raise ValueError("a prompt_completion layout names both columns")
    prompt = _content(row.get(layout.prompt_column), what=layout.prompt_column)
    completion = _content(row.get(layout.completion_column), what=layout.completion_column)
    extra = row.get("input")
    if layout.prompt_column.lower() == "instruction" and isinstance(extra, str) and extra.strip():
        prompt = f"{prompt}\n\n{extra}"
    turns = [Message("user", prompt), Message("assistant", completion)]
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        turns.insert(0, Message("system", system))
    return tuple(turns)


def _conversation(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _UnusableRow("messages is not a list of turns")
    turns = []
    for position, turn in enumerate(value, start=1):
        if not isinstance(turn, dict) or "role" not in turn or "content" not in turn:
            raise _UnusableRow(f"turn {position} has no role and content")
        if turn["role"] not in ROLES:
            raise _UnusableRow(f"turn {position} has the role {turn['role']!r}; known are {', '.join(ROLES)}")
        turns.append(Message(turn["role"], _content(turn["content"], what=f"turn {position}")))
    expected = "user"
    for position, turn in enumerate(turns, start=1):
        if turn.role == "system" and position == 1:
            continue
        if turn.role != expected:
            raise _UnusableRow(f"turn {position} is by {turn.role}, expected {expected}: turns must alternate")
        expected = "assistant" if expected == "user" else "user"
    if turns[-1].role != "assistant":
        raise _UnusableRow("the last turn is not the assistant's")
    return tuple(turns)


def _content(value: Any, *, what: str) -> str:
    if value is None:
        raise _UnusableRow(f"{what} is missing")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _UnusableRow(f"{what} is a {type(value).__name__}, not text")
    if not value.strip():
        raise _UnusableRow(f"{what} is empty")
    return value
