"""Shapes whose rows hold a list of turns: messages of OpenAI, ChatML, ShareGPT, Gemini, with images or without."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.data.mapping import Conversation, Mapping
from pipeline.data.sample import Sample, find_keys, is_exchange
from pipeline.data.shapes.shape import Guess, image_column, system_parts, tools_column
from pipeline.data.turns import KNOWN_ROLES

CONVERSATION_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns", "contents")
# Columns that may hold turns and have a part of their own.
_OTHER_COLUMNS = ("prompt", "completion", "chosen", "rejected", "history", "system_instruction", "system")
_LISTS_OF_TEXTS = (*CONVERSATION_COLUMNS, "dialogs", "utterances", "data")
_TWO_SPEAKERS_CEILING = 0.7


@dataclass(frozen=True)
class Found:
    """A column that holds conversations, and what was seen of them."""

    conversation: Conversation
    images: Literal["none", "column", "turns"]
    reasons: tuple[str, ...] = ()
    ceiling: float = 1.0


def find_conversations(sample: Sample) -> Iterator[Found]:
    """Every column that holds conversations, the usual names first."""
    named = [column for name in CONVERSATION_COLUMNS if (column := sample.find(name)) is not None]
    reserved = {sample.find(name) for name in _OTHER_COLUMNS}
    for column in dict.fromkeys([*named, *(name for name in sample.columns if name not in reserved)]):
        if sample.kind(column) == "turns":
            found = _conversation(sample, column)
            if found is not None:
                yield found
    column = sample.find(*_LISTS_OF_TEXTS, kinds=("texts",))
    if column is not None and len(sample.turns(column)) > len(sample.cells(column)):
        reason = f"Column {column} holds lists of texts, taken for the user's and the assistant's by turns."
        yield Found(Conversation(column=column), "none", (reason,))


def openai_messages(sample: Sample) -> Iterator[Guess]:
    """A column messages of turns with role and content."""
    for found in find_conversations(sample):
        if found.images == "none" and _is_messages(sample, found):
            yield _guess(sample, found)


def chatml(sample: Sample) -> Iterator[Guess]:
    """Turns under any other name of the column or of the keys, exchanges and lists of texts."""
    for found in find_conversations(sample):
        keys = (found.conversation.role_key, found.conversation.content_key)
        if found.images == "none" and keys[0] != "from" and keys[1] != "parts" and not _is_messages(sample, found):
            yield _guess(sample, found)


def sharegpt(sample: Sample) -> Iterator[Guess]:
    """Turns with from and value."""
    for found in find_conversations(sample):
        if found.images == "none" and found.conversation.role_key == "from":
            yield _guess(sample, found)


def gemini(sample: Sample) -> Iterator[Guess]:
    """Turns with role and parts."""
    for found in find_conversations(sample):
        if found.images != "column" and found.conversation.content_key == "parts":
            yield _guess(sample, found)


def vision_messages(sample: Sample) -> Iterator[Guess]:
    """Turns with role and content beside a column of images."""
    for found in find_conversations(sample):
        if found.images == "column" and found.conversation.role_key != "from":
            yield _guess(sample, found)


def llava(sample: Sample) -> Iterator[Guess]:
    """Turns with from and value beside a column of images, with <image> in the text."""
    for found in find_conversations(sample):
        if found.images == "column" and found.conversation.role_key == "from":
            yield _guess(sample, found)


def openai_vision(sample: Sample) -> Iterator[Guess]:
    """Turns whose content lists texts and images."""
    for found in find_conversations(sample):
        if found.images == "turns" and found.conversation.content_key != "parts":
            yield _guess(sample, found)


def _guess(sample: Sample, found: Found) -> Guess:
    mapping = Mapping(
        format="messages",
        conversation=found.conversation,
        system=system_parts(sample),
        tools=tools_column(sample),
        images=image_column(sample) if found.images == "column" else None,
    )
    return Guess(mapping, found.reasons, found.ceiling)


def _is_messages(sample: Sample, found: Found) -> bool:
    conversation = found.conversation
    keys = (conversation.role_key, conversation.content_key)
    is_plain = sample.kind(conversation.column) == "turns" and find_keys(sample.turns(conversation.column)) is not None
    return conversation.column == sample.find("messages") and keys == ("role", "content") and is_plain


def _conversation(sample: Sample, column: str) -> Found | None:
    turns = sample.turns(column)
    keys = find_keys(turns)
    if keys is None:
        if not any(is_exchange(turn) for turn in turns):
            return None
        reason = f"Column {column} holds lists of exchanges: a question and its answer each."
        return Found(Conversation(column=column), "none", (reason,))
    role_key, content_key = keys
    names = list(dict.fromkeys(str(turn[role_key]) for turn in turns if isinstance(turn.get(role_key), str)))
    unknown = [name for name in names if name.strip().lower() not in KNOWN_ROLES]
    known = {KNOWN_ROLES[name.strip().lower()] for name in names if name not in unknown}
    written = ", written as JSON text" if sample.is_json_text(column) else ""
    reasons = [f"Column {column} holds lists of turns with {role_key} and {content_key}{written}."]
    if any("weight" in turn for turn in turns):
        reasons.append("The weight that some turns carry is left out: every answer is trained on.")
    if isinstance(turns[0].get(role_key), dict) or known & {"user", "assistant"}:
        if names:
            reasons.append(f"The roles are called {_listed(names)}.")
        conversation = Conversation(column=column, role_key=role_key, content_key=content_key)
        return Found(conversation, _images(sample, turns, content_key), tuple(reasons))
    if len(unknown) != 2:  # noqa: PLR2004 - a user and an assistant
        return None
    user, assistant = unknown
    reasons.append(f"{user} speaks first and is taken for the user, {assistant} for the assistant.")
    conversation = Conversation(
        column=column, role_key=role_key, content_key=content_key, roles={user: "user", assistant: "assistant"}
    )
    return Found(conversation, _images(sample, turns, content_key), tuple(reasons), _TWO_SPEAKERS_CEILING)


def _images(sample: Sample, turns: list[Any], content_key: str) -> Literal["none", "column", "turns"]:
    if image_column(sample) is not None:
        return "column"
    contents = [turn.get(content_key) for turn in turns]
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    held = any(str(part.get("type")) in ("image", "image_url", "input_image") for part in parts)
    return "turns" if held else "none"


def _listed(names: list[str]) -> str:
    shown = names[:8]
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0]
