"""Finding: one thing that preflight has to say, and the patches that mend it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Fix(BaseModel):
    """A change of the configuration: dotted field names and their new values."""

    model_config = ConfigDict(frozen=True)
    label: str
    patch: dict[str, Any]


class Finding(BaseModel):
    """What was seen, why it matters, and the smallest change that mends it."""

    model_config = ConfigDict(frozen=True)
    code: str
    severity: Literal["error", "warning", "info"]
    field: str
    message: str
    fixes: tuple[Fix, ...] = ()
