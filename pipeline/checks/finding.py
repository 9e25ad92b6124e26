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


def error(code: str, field: str, message: str, *fixes: Fix) -> Finding:
    """What would make the run fail, or teach nothing; it forbids the start."""
    return Finding(code=code, severity="error", field=field, message=message, fixes=fixes)


def warning(code: str, field: str, message: str, *fixes: Fix) -> Finding:
    """What is likely not meant; the run may start."""
    return Finding(code=code, severity="warning", field=field, message=message, fixes=fixes)


def info(code: str, field: str, message: str, *fixes: Fix) -> Finding:
    """What is worth knowing, with nothing to mend."""
    return Finding(code=code, severity="info", field=field, message=message, fixes=fixes)
