"""One side of an example, the prompt or an answer: the turns that a column holds, or text that becomes one turn."""

import re
from collections.abc import Collection

from pipeline.data.cells import find_cell
from pipeline.data.example import Message, Row, UnusableRow
from pipeline.data.image_references import image_references, place_images
from pipeline.data.mapping import ColumnPart, Mapping, Parts
from pipeline.data.parts import render_parts
from pipeline.data.turns import KNOWN_ROLES, ROLE_KEYS, read_turns, without_blank_system

_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):(?: |(?=\n)|\Z)")


def read_side(
    row: Row, parts: Parts, *, role: str, what: str, columns: Collection[str] | None = None, is_transcript: bool = False
) -> list[Message]:
    """The turns of a side. Text becomes a turn by `role`; with `is_transcript`, text in which a Human and an Assistant
    speak becomes the turns of both.

    Raises:
        UnusableRow: a column is missing or blank, or holds neither text nor turns.
    """
    if len(parts) == 1 and isinstance(parts[0], ColumnPart):
        part = parts[0]
        value = find_cell(row, part.column, json_text=part.json_text)
        if holds_turns(value):
            return read_turns(value, column=part.column)
        if is_transcript and isinstance(value, str) and (turns := read_transcript(value)):
            return turns
    return [render_parts(row, parts, what=what, columns=columns, takes_first=role == "assistant").as_message(role)]


def complete_prompt(
    messages: list[Message], row: Row, mapping: Mapping, *, columns: Collection[str] | None = None
) -> list[Message]:
    """The turns with the row's system text before them and its images at their places.

    Raises:
        UnusableRow: the turns have a system turn as well, or the images do not fit the turns.
    """
    if messages[0].role == "system":
        messages = without_blank_system(messages)
    references: tuple[str, ...] = ()
    if mapping.images is not None:
        references = image_references(find_cell(row, mapping.images), what=mapping.images)
    if references or any(message.images for message in messages):
        messages = place_images(messages, references)
    system = _system_text(row, mapping.system, columns) if mapping.system else ""
    if not system or messages[0] == Message("system", system):
        return messages
    if messages[0].role == "system":
        raise UnusableRow("turn 1 is by system, and the row has another system text")
    return [Message("system", system), *messages]


def holds_turns(value: object) -> bool:
    """Whether a value is a turn or a list of turns."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return False
    name = next((first[key] for key in ROLE_KEYS if key in first), None)
    return isinstance(name, str) and (isinstance(value, list) or name.strip().lower() in KNOWN_ROLES)


def read_transcript(text: str) -> list[Message]:
    """The turns of a text in which "Human:" and "Assistant:" begin a paragraph each; none where it does not so begin.

    Raises:
        UnusableRow: somebody says nothing.
    """
    marks = list(_SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    messages = []
    for number, (mark, end) in enumerate(zip(marks, ends, strict=True), start=1):
        content = text[mark.end() : end]
        if not content.strip():
            raise UnusableRow(f"turn {number} is empty")
        messages.append(Message(KNOWN_ROLES["user" if mark[1] == "Human" else "assistant"], content))
    return messages


def _system_text(row: Row, parts: Parts, columns: Collection[str] | None) -> str:
    """The system text; empty where its column is blank."""
    try:
        return render_parts(row, parts, what="system", columns=columns).text
    except UnusableRow as error:
        if str(error).endswith((" is empty", " is missing")):
            return ""
        raise
