"""Normalises conversations: any list of turns becomes messages of the four roles, and their order is checked."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.data.cells import decode_text, shorten, write_json
from pipeline.data.example import ROLES, Message, UnusableRow
from pipeline.data.mapping import Conversation
from pipeline.data.turn_content import TurnContent, read_calls, read_content

ROLE_KEYS: Final = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS: Final = ("content", "value", "text", "parts", "message", "utterance")
# Role names of public data sets. A `function_call` is what the assistant says to a tool.
KNOWN_ROLES: Final = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai"), "assistant"),
    **dict.fromkeys(("function_call", "function-call", "tool_call", "tool-call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "function_response"), "tool"),
    **dict.fromkeys(("tool_result", "function_result", "tool-response", "function-response", "ipython"), "tool"),
}
_CALL_ROLES: Final = ("function_call", "function-call", "tool_call", "tool-call")
# Keys of a turn that holds a question and its answer together.
EXCHANGE_KEYS: Final = {
    **dict.fromkeys(("user", "human", "input", "question", "prompt", "instruction", "query"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "output", "answer", "response", "completion"), "assistant"),
    "system": "system",
}
# Who may speak after whom. A tool may also answer a call that stands in the assistant's text.
_FOLLOWERS: Final = {
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def read_turns(value: Any, *, column: str, conversation: Conversation | None = None) -> list[Message]:
    """The turns in a cell: a list of turns, that list as JSON text, a single turn, or plain texts of alternating roles.

    Keys and roles are those of `conversation`, else the usual ones. A blank system turn stays, for `check_order` to
    count turns as the source does; drop it with `without_blank_system`. Images that the turns only announce have the
    reference OPEN_PLACE.

    Raises:
        UnusableRow: the cell holds no turns, or a turn is empty, has no role, or one that is not known.
    """
    if isinstance(value, str):
        value = decode_text(value) if value.strip() else None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise UnusableRow(f"{column} is not a list of turns")
    messages: list[Message] = []
    call_names: dict[str, str] = {}
    for role_name, turn, content in _flat(value, conversation, read=messages):
        number = len(messages) + 1
        role = _role(role_name, conversation, number=number)
        if type(content) is str and len(turn) <= 2 and role_name not in _CALL_ROLES:  # noqa: PLR2004 - role and content
            if role != "system" and (not content or content.isspace()):
                raise UnusableRow(f"turn {number} is empty")
            messages.append(Message(role, content))
        else:
            messages.extend(_messages(role, role_name, turn, content, what=f"turn {number}", call_names=call_names))
    return messages


def check_order(messages: Sequence[Message], *, is_prompt: bool = False) -> None:
    """See that turns can be trained on: a system turn first or not at all, then user and assistant by turns, and tools
    that answer the assistant. The assistant has the last turn; in a prompt, the user or a tool.

    Raises:
        UnusableRow: a turn is out of order, or the last one is not by whom it should be.
    """
    allowed: tuple[str, ...] = ("user", "system")
    before = "the beginning"
    for number, message in enumerate(messages, start=1):
        if message.role not in allowed:
            if message.role == "system":
                raise UnusableRow(f"turn {number} is by system, which may only speak first")
            if message.role == "tool":
                raise UnusableRow(f"turn {number} is by tool, but comes after {before}: tools answer the assistant")
            raise UnusableRow(f"turn {number} is by {message.role}, expected {allowed[0]}: turns must alternate")
        allowed, before = _FOLLOWERS[message.role], message.role
    if is_prompt and messages[-1].role in ("assistant", "system"):
        raise UnusableRow(f"the prompt ends with the {messages[-1].role}'s turn, not with the user's")
    if not is_prompt and messages[-1].role != "assistant":
        raise UnusableRow("the last turn is not the assistant's")


def without_blank_system(messages: list[Message]) -> list[Message]:
    """The turns without a system turn that says nothing."""
    first = messages[0]
    return messages[1:] if first.role == "system" and not first.content.strip() and not first.images else messages


def _flat(
    turns: list[Any], conversation: Conversation | None, *, read: list[Message]
) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Role name, turn and content of each turn, exchanges taken apart."""
    role_key = conversation.role_key if conversation is not None else "role"
    content_key = conversation.content_key if conversation is not None else "content"
    for position, turn in enumerate(turns):
        if isinstance(turn, dict):
            own_role = role_key if role_key in turn else next((key for key in ROLE_KEYS if key in turn), None)
            if own_role is None:
                yield from _exchange(turn, conversation, number=len(read) + 1, keys=(role_key, content_key))
                continue
            content = turn.get(content_key)
            if content is None:
                content = next((turn[key] for key in CONTENT_KEYS if turn.get(key) is not None), None)
            yield turn[own_role], turn, content
        elif isinstance(turn, str):
            yield ("user", "assistant")[position % 2], {}, turn
        elif isinstance(turn, (list, tuple)) and len(turn) == 2:  # noqa: PLR2004 - a question and its answer
            yield "user", {}, turn[0]
            yield "assistant", {}, turn[1]
        else:
            raise UnusableRow(f"turn {len(read) + 1} has no {role_key} and {content_key}")


def _exchange(
    turn: dict[str, Any], conversation: Conversation | None, *, number: int, keys: tuple[str, str]
) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    own = conversation.roles if conversation is not None else {}
    found = {key: own.get(key, EXCHANGE_KEYS.get(key.strip().lower())) for key in turn}
    roles = [role for role in found.values() if role is not None]
    if not roles or len(set(roles)) != len(roles):
        raise UnusableRow(f"turn {number} has no {keys[0]} and {keys[1]}")
    yield from ((role, {}, turn[key]) for key, role in found.items() if role is not None)


def _role(name: Any, conversation: Conversation | None, *, number: int) -> str:
    if isinstance(name, str):
        own = conversation.roles.get(name) if conversation is not None and conversation.roles else None
        role = own or KNOWN_ROLES.get(name) or KNOWN_ROLES.get(name.strip().lower())
        if role is not None:
            return role
    if isinstance(name, dict):
        # ChatGPT's own export names the author in an object.
        return _role(name.get("role"), conversation, number=number)
    raise UnusableRow(f"turn {number} has the role {shorten(str(name))!r}; known are {', '.join(ROLES)}")


def _messages(
    role: str, role_name: str, turn: dict[str, Any], value: Any, *, what: str, call_names: dict[str, str]
) -> Iterator[Message]:
    """The message of a turn that is more than text; several where tools answer together."""
    content = _content(role, role_name, value, what=what)
    calls = [*content.calls]
    for key in ("tool_calls", "function_call"):
        if role == "assistant" and turn.get(key):
            calls.extend(read_calls(turn[key], what=what))
    call_names.update({str(call["id"]): str(call["function"]["name"]) for call in calls if call.get("id")})
    if content.answers:
        yield from (Message("tool", text, name=name) for name, text in content.answers)
        if not content.text and not content.images:
            return
    if not content.text.strip() and not content.images and not calls and role != "system":
        raise UnusableRow(f"{what} is empty")
    name = turn.get("name")
    if role == "tool" and not isinstance(name, str):
        name = call_names.get(str(turn.get("tool_call_id")))
    yield Message(
        role,
        content.text,
        images=tuple(content.images),
        tool_calls=tuple(calls),
        name=name if role == "tool" else None,
        image_positions=tuple(content.positions),
    )


def _content(role: str, role_name: str, value: Any, *, what: str) -> TurnContent:
    if role_name in _CALL_ROLES and value:
        try:
            calls = read_calls(value, what=what)
        except UnusableRow:
            calls = []
        return TurnContent(calls=calls) if calls else read_content(value, what=what)
    if role == "tool" and isinstance(value, (dict, list)) and not (isinstance(value, dict) and "parts" in value):
        try:
            return read_content(value, what=what)
        except UnusableRow:
            return TurnContent(text=write_json(value))
    return read_content(value, what=what)
