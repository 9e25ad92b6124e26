"""Column types: a pydantic document as JSON, and UTC times."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import JSON, DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


def utc_now() -> datetime:
    """The current time, with its zone."""
    return datetime.now(UTC)


class PydanticJSON(TypeDecorator[Any]):
    """A pydantic document, of one of several classes, stored as JSON and validated when it is read back."""

    impl = JSON
    cache_ok = True

    def __init__(self, document: Any, *, classes: tuple[type[BaseModel], ...]) -> None:
        super().__init__()
        self.document = document
        self.classes = classes
        self.adapter: TypeAdapter[Any] = TypeAdapter(document)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The JSON value of a document; anything but one of the classes is a bug of the caller."""
        if not isinstance(value, self.classes):
            names = " or ".join(document.__name__ for document in self.classes)
            raise TypeError(f"expected {names}, got {type(value).__name__}")
        return value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """The validated document."""
        return self.adapter.validate_python(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with a zone, stored and returned in UTC (SQLite keeps no zone)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC without a zone; a time that has none is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time with the zone UTC."""
        return None if value is None else value.replace(tzinfo=UTC)
