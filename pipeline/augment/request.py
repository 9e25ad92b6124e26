"""Request: one thing to ask of a model, with an id that a later run finds again."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.augment.config import EndpointConfig
from pipeline.augment.outcome import MadeFrom, Method, Outcome, Refused
from pipeline.data.example import Row

_ID_BYTES = 10

ReadItem = Callable[[Any], Row | Refused]


@dataclass(frozen=True)
class Request:
    """What is asked, and how the answer is read: `read_item` turns an item of the list `list_name` into a row.

    `expected_characters` is how long the answer will be, for the estimate.
    """

    id: str
    method: Method
    made_from: MadeFrom
    before: tuple[Row, ...]
    messages: tuple[dict[str, str], ...]
    list_name: str
    wanted: int
    expected_characters: int
    read_item: ReadItem


@dataclass(frozen=True)
class Plan:
    """All that a method will ask, and what it already knows it cannot make; `total` items."""

    total: int
    items: Iterator[Request | Outcome]


def messages_for(system: str, material: dict[str, Any]) -> tuple[dict[str, str], ...]:
    """The instruction, and the material as JSON."""
    return (
        {"role": "system", "content": system},
        {"role": "user", "content": json.dumps(material, ensure_ascii=False)},
    )


def request_id(
    method: Method, made_from: MadeFrom, messages: tuple[dict[str, str], ...], *, endpoint: EndpointConfig, nth: int = 0
) -> str:
    """Equal whenever the same is asked of the same model about the same row, passage or `nth` draw.

    Prices, limits and the address do not change it: the rows are worth as much.
    """
    asked = [method, made_from.model_dump(mode="json"), list(messages), endpoint.model, endpoint.temperature, nth]
    return digest_of(asked)


def digest_of(value: Any) -> str:
    """A short id of a value that JSON can hold."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=_ID_BYTES).hexdigest()
