"""Messages with images as chat templates take them."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from pipeline.chat_template import ChatTemplate, Turn, text_turn
from pipeline.data.example import Message
from pipeline.errors import ModelUnavailable


def image_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """The chat template of a model that sees images.

    Raises:
        ModelUnavailable: there is none, or it does not tell answers from the rest.
    """
    try:
        return ChatTemplate(tokenizer, turn=_turn)
    except ModelUnavailable:
        # Some templates know no other content than a list of parts.
        return ChatTemplate(tokenizer, turn=_turn_in_parts)


def _turn(message: Message) -> Turn:
    return _turn_in_parts(message) if message.images else text_turn(message)


def _turn_in_parts(message: Message) -> Turn:
    without_images = Message(message.role, message.content, tool_calls=message.tool_calls, name=message.name)
    return {**text_turn(without_images), "content": _parts(message)}


def _parts(message: Message) -> list[dict[str, Any]]:
    """The text of a message cut where its images stand, and a mark for each of them."""
    parts: list[dict[str, Any]] = []
    start = 0
    for position in message.image_positions:
        if position > start:
            parts.append({"type": "text", "text": message.content[start:position]})
        parts.append({"type": "image"})
        start = position
    if start < len(message.content):
        parts.append({"type": "text", "text": message.content[start:]})
    return parts
