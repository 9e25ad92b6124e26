"""Shapes with little structure: plain text, prompts alone, and two columns of text that have no known names."""

from collections.abc import Iterator

from pipeline.data.mapping import Mapping
from pipeline.data.sample import Sample
from pipeline.data.shapes.conversations import find_conversations
from pipeline.data.shapes.shape import Guess, column_parts, system_parts, tools_column
from pipeline.data.turns import KNOWN_ROLES, ROLE_KEYS

_TEXT_COLUMNS = ("text", "content", "document", "markdown", "code", "body")
_PROMPT_COLUMNS = ("prompt", "question", "query", "instruction", "problem")
_COMPLETION_COLUMNS = ("completion", "response", "output", "chosen", "rejected", "messages", "conversations")
# Beside a prompt that is text these are its answer; beside a list of turns they are what a reward compares with.
_ANSWER_COLUMNS = ("answer", "answers", "solution", "target")
_METADATA = (
    "id",
    "uuid",
    "url",
    "source",
    "date",
    "category",
    "lang",
    "language",
    "split",
    "type",
    "license",
    "author",
)
_GUESS_CEILING, _DOUBTFUL_CEILING = 0.5, 0.3


def text(sample: Sample) -> Iterator[Guess]:
    """One column of plain text."""
    if sample.find(*ROLE_KEYS) is not None:
        # One turn a row: the text of a single turn is no document.
        return
    for name in _TEXT_COLUMNS:
        column = sample.find(name, kinds=("text",))
        if column is not None:
            yield Guess(Mapping(format="text", text=column_parts(sample, column)))


def prompt_only(sample: Sample) -> Iterator[Guess]:
    """A prompt that has no answer beside it, for training with rewards."""
    for found in find_conversations(sample):
        last = [
            turns[-1] for cell in sample.cells(found.conversation.column) if isinstance(turns := cell, list) and turns
        ]
        names = [str(turn.get(found.conversation.role_key)) for turn in last if isinstance(turn, dict)]
        if 2 * sum(KNOWN_ROLES.get(name.lower()) == "user" for name in names) > max(1, len(last)):
            mapping = Mapping(
                format="prompt_only",
                conversation=found.conversation,
                system=system_parts(sample),
                tools=tools_column(sample),
            )
            yield Guess(mapping, (*found.reasons, "The user has the last turn of most rows."))
    column = sample.find(*_PROMPT_COLUMNS, kinds=("text", "turns"))
    if column is None or sample.find(*_COMPLETION_COLUMNS) is not None:
        return
    if sample.kind(column) == "text" and sample.find(*_ANSWER_COLUMNS) is not None:
        return
    mapping = Mapping(
        format="prompt_only",
        system=system_parts(sample),
        prompt=column_parts(sample, column),
        tools=tools_column(sample),
    )
    yield Guess(mapping)


def two_columns(sample: Sample) -> Iterator[Guess]:
    """Two columns of text with names that say nothing: the first is guessed to be the prompt."""
    if sample.find(*ROLE_KEYS) is not None:
        return
    texts = [column for column in sample.columns if sample.kind(column) == "text" and not _is_metadata(column)]
    if len(texts) != 2:  # noqa: PLR2004 - a prompt and an answer
        return
    prompt, completion = texts
    is_shorter = sample.mean_length(prompt) <= sample.mean_length(completion)
    why = "the first column" + (", and the shorter one" if is_shorter else ", though the longer one")
    mapping = Mapping(
        format="prompt_completion",
        prompt=column_parts(sample, prompt),
        completion=column_parts(sample, completion),
    )
    reason = f"The names of the columns say nothing. {prompt} is guessed to be the prompt: it is {why}. Please confirm."
    yield Guess(mapping, (reason,), _GUESS_CEILING if is_shorter else _DOUBTFUL_CEILING)


def _is_metadata(column: str) -> bool:
    name = column.strip().lower()
    return name in _METADATA or name.endswith(("_id", "id_", " id"))
