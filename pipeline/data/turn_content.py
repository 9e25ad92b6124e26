"""What one turn says: text, images at their places, tool calls and tool answers, from any of the usual spellings."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.data.cells import cell_text, decode_text, kind_name, write_json
from pipeline.data.example import UnusableRow
from pipeline.data.image_references import OPEN_PLACE, image_reference

_IMAGE_TYPES = ("image", "image_url", "input_image")


@dataclass
class TurnContent:
    """The text of a turn, images and their places in it, calls to tools, and answers by tools with their names."""

    text: str = ""
    images: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str | None, str]] = field(default_factory=list)


def read_content(value: Any, *, what: str) -> TurnContent:
    """The content of a turn: nothing, text, or parts as OpenAI, Anthropic, Gemini and Hugging Face write them.

    Raises:
        UnusableRow: a part is neither text nor an image nor a tool's.
    """
    content = TurnContent()
    match value:
        case None:
            return content
        case list():
            parts = value
        case {"parts": list(parts)}:
            pass
        case {"parts": None}:
            return content
        case dict():
            parts = [value]
        case str():
            content.text = value
            return content
        case _:
            content.text = cell_text(value, what=what)
            return content
    for part in parts:
        _read_part(part, content, what=what)
    return content


def read_calls(value: Any, *, what: str) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's shape, from that shape, from bare names with arguments, or from either as JSON text.

    Raises:
        UnusableRow: something in them is no call.
    """
    if isinstance(value, str):
        value = decode_text(value) if value.strip() else None
    calls = value if isinstance(value, list) else [value] if value else []
    return [_read_call(call, what=what) for call in calls]


def read_tools(value: Any, *, what: str) -> tuple[dict[str, Any], ...]:
    """Tools in OpenAI's shape, from that shape, from bare functions, from Gemini's declarations, or as JSON text.

    Raises:
        UnusableRow: the value is no list of tools.
    """
    if isinstance(value, str) and value.strip():
        decoded = decode_text(value)
        if decoded is None:
            raise UnusableRow(f"{what} is text that is no list of tools")
        value = decoded
    tools: list[dict[str, Any]] = []
    for tool in value if isinstance(value, list) else [value] if value not in (None, "") else []:
        match tool:
            case {"function": dict()}:
                tools.append(tool)
            case {"functionDeclarations": list(functions)} | {"function_declarations": list(functions)}:
                tools.extend({"type": "function", "function": function} for function in functions)
            case {"name": str()}:
                tools.append({"type": "function", "function": tool})
            case str():
                tools.extend(read_tools(tool, what=what))
            case _:
                raise UnusableRow(f"{what} holds {kind_name(tool)} that is no tool")
    return tuple(tools)


def _read_part(part: Any, content: TurnContent, *, what: str) -> None:
    match part:
        case str():
            content.text += part
        case {"functionCall": dict(call)} | {"function_call": dict(call)}:
            content.calls.append(_read_call(call, what=what))
        case {"functionResponse": dict(response)} | {"function_response": dict(response)}:
            answer = response.get("response")
            content.answers.append((response.get("name"), answer if isinstance(answer, str) else write_json(answer)))
        case {"type": kind} if kind in _IMAGE_TYPES:
            content.images.append(
                image_reference({key: item for key, item in part.items() if key != "type"}) or OPEN_PLACE
            )
            content.positions.append(len(content.text))
        case {"inlineData": dict(data)} | {"inline_data": dict(data)}:
            kind = _image_type(data, what=what)
            content.images.append(f"data:{kind};base64,{data.get('data', '')}")
            content.positions.append(len(content.text))
        case {"fileData": dict(data)} | {"file_data": dict(data)}:
            _image_type(data, what=what)
            content.images.append(str(data.get("fileUri", data.get("file_uri", ""))))
            content.positions.append(len(content.text))
        case {"text": str(text)} | {"refusal": str(text)}:
            content.text += text
        case _:
            kind = part.get("type") if isinstance(part, dict) else None
            named = f"of type {kind!r}" if isinstance(kind, str) else f"that is {kind_name(part)}"
            raise UnusableRow(f"{what} has a part {named}, which is neither text nor an image")


def _read_call(call: Any, *, what: str) -> dict[str, Any]:
    match call:
        case {"function": {"name": str()}}:
            return dict(call)
        case {"name": str(name), "arguments": arguments} | {"name": str(name), "args": arguments}:
            return {"type": "function", "function": {"name": name, "arguments": arguments}}
        case {"name": str(name)}:
            return {"type": "function", "function": {"name": name, "arguments": {}}}
        case _:
            raise UnusableRow(f"{what} has a tool call without a name")


def _image_type(data: dict[str, Any], *, what: str) -> str:
    kind = str(data.get("mimeType", data.get("mime_type", "")))
    if not kind.startswith("image/"):
        raise UnusableRow(f"{what} has a part of type {kind!r}, which is neither text nor an image")
    return kind
