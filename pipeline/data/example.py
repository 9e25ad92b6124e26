"""Example: one usable row as the trainer sees it."""

from dataclasses import dataclass, field
from typing import Any, Literal

Row = dict[str, Any]
Format = Literal["messages", "prompt_completion", "text", "preference", "unpaired_preference", "prompt_only"]
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    `images` are references as the row store keeps them: paths relative to the data set's folder, or the address or
    base64 text that the row holds. `image_positions` says where each of them stands: an index into `content`.
    `tool_calls` are the calls an assistant makes, in OpenAI's shape; `name` is the tool that a tool turn answers for.
    """

    role: str
    content: str
    images: tuple[str, ...] = ()
    tool_calls: tuple[dict[str, Any], ...] = ()
    name: str | None = None
    image_positions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Example:
    """A usable row. Which fields are set follows from its format:

    messages, prompt_completion   `messages`, ending with the assistant
    text                          `text`
    preference                    `messages` (the prompt), `chosen` and `rejected` (the turns that follow it)
    unpaired_preference           `messages` (the prompt), `chosen` (the answer) and `label` (whether it is good)
    prompt_only                   `messages` (the prompt); the row's other columns in `extra`, for rewards

    Of any format, `extra` is the whole row where the reader asked for it.
    """

    row: int
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    chosen: tuple[Message, ...] | None = None
    rejected: tuple[Message, ...] | None = None
    label: bool | None = None
    tools: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


class UnusableRow(Exception):
    """One row cannot be used; the text is the reason, without a full stop and without the row's number."""
