"""What every configuration class is made of: the base class, and the types of its fields."""

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def blank_is_none(value: object) -> object:
    """None for an input that was left empty."""
    return None if value == "" else value


def parse_json(value: object) -> object:
    """The value that a text of JSON stands for; None for a blank one. Raises ValueError where it is no JSON."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from error


OptionalText = Annotated[Text | None, BeforeValidator(blank_is_none)]


class Config(BaseModel):
    """Base of every configuration class: immutable, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
