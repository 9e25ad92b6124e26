"""Examples as plain rows in standard columns, and the key by which exact copies are found."""

import hashlib
import unicodedata
from collections.abc import Collection
from typing import Any

from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Message, Row, UnusableRow
from pipeline.data.mapping import ColumnPart, Conversation, Mapping, Parts
from pipeline.data.row_store import encode_row

_KEY_BYTES = 16


def row_of(example: Example) -> Row:
    """The example in the standard columns of its format, which `standard_mapping` reads back.

    messages              `messages`, with `tools` and `images` where it has them
    text                  `text`
    preference            `prompt`, `chosen`, `rejected`
    unpaired_preference   `prompt`, `completion`, `label`
    prompt_only           `prompt` and the other columns
    """
    messages = () if example.messages is None else example.messages
    row: Row
    if example.text is not None:
        return {"text": example.text}
    if example.chosen is not None and example.rejected is not None:
        row = {"prompt": _turns(messages), "chosen": _turns(example.chosen), "rejected": _turns(example.rejected)}
    elif example.chosen is not None:
        row = {"prompt": _turns(messages), "completion": _turns(example.chosen), "label": example.label}
    elif messages and messages[-1].role == "assistant":
        row = {"messages": _turns(messages)}
    else:
        row = {"prompt": _turns(messages), **example.extra}
    images = [image for message in messages for image in message.images]
    return row | ({"images": images} if images else {}) | ({"tools": list(example.tools)} if example.tools else {})


def standard_mapping(columns: Collection[str]) -> Mapping:
    """How rows of `row_of` become examples again."""
    others: dict[str, Any] = {name: name for name in ("tools", "images") if name in columns}
    if "messages" in columns:
        return Mapping(format="messages", conversation=Conversation(column="messages"), **others)
    if "chosen" in columns:
        chosen, rejected = _column("chosen"), _column("rejected")
        return Mapping(format="preference", prompt=_column("prompt"), chosen=chosen, rejected=rejected, **others)
    if "completion" in columns:
        completion = _column("completion")
        return Mapping(
            format="unpaired_preference", prompt=_column("prompt"), completion=completion, label="label", **others
        )
    if "prompt" in columns:
        return Mapping(format="prompt_only", prompt=_column("prompt"), **others)
    return Mapping(format="text", text=_column("text"))


def row_problem(row: Row) -> str | None:
    """Why a row by hand cannot be a training row: a clause without a full stop, or None."""
    try:
        build_example(1, row, standard_mapping(row.keys()))
    except UnusableRow as error:
        return str(error)
    return None


def row_key(row: Row) -> str:
    """Equal for rows that differ in nothing but white space and the order of columns."""
    return hashlib.blake2b(encode_row(_normal(row)), digest_size=_KEY_BYTES).hexdigest()


def _column(name: str) -> Parts:
    return (ColumnPart(column=name),)


def _turns(messages: tuple[Message, ...]) -> list[Row]:
    return [_turn(message) for message in messages]


def _turn(message: Message) -> Row:
    turn: Row = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        turn["tool_calls"] = list(message.tool_calls)
    return turn if message.name is None else turn | {"name": message.name}


def _content(message: Message) -> str | list[Row]:
    if not message.images:
        return message.content
    # The images stand in a column of their own, in order; here are their places.
    pieces: list[Row] = []
    start = 0
    for position in message.image_positions or (0,) * len(message.images):
        pieces += _text_piece(message.content[start:position])
        pieces.append({"type": "image"})
        start = position
    return pieces + _text_piece(message.content[start:])


def _text_piece(text: str) -> list[Row]:
    return [{"type": "text", "text": text}] if text else []


def _normal(value: Any) -> Any:
    match value:
        case str():
            return unicodedata.normalize("NFC", " ".join(value.split()))
        case dict():
            return {str(key): _normal(value[key]) for key in sorted(value, key=str)}
        case list() | tuple():
            return [_normal(item) for item in value]
        case bool() | int() | float() | None:
            return value
    return str(value)
