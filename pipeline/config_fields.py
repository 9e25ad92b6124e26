"""The fields of the job document one by one: what form, flags, messages and reference are made from."""

import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config import FineTuneJobConfig


@dataclass(frozen=True)
class ConfigField:
    """One field: its dotted path, what its class says of it, and the variants that it belongs to.

    `variant` is (path of the kind, kinds), for a field that exists only while one of those kinds is chosen.
    """

    path: str
    info: FieldInfo
    variant: tuple[str, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        """The last part of the path; the kind of a section goes by the section's name."""
        parts = self.path.split(".")
        return parts[-2] if parts[-1] == "kind" else parts[-1]

    @property
    def section(self) -> str:
        """The path without its last part; empty for a field of the document itself."""
        return self.path.rpartition(".")[0]

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ").capitalize()

    @property
    def default(self) -> Any:
        """The default of the class, or None for a required field."""
        value = self.info.get_default(call_default_factory=True)
        return None if value is PydanticUndefined else value

    @property
    def takes_none(self) -> bool:
        """Whether the field may be empty."""
        return type(None) in members(self.info.annotation)

    @property
    def type(self) -> Any:
        """The type of a value that is not empty: a class, or a Literal."""
        return next(member for member in members(self.info.annotation) if member is not type(None))

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a closed set; empty for any other type."""
        return tuple(get_args(self.type)) if get_origin(self.type) is Literal else ()

    @property
    def options(self) -> tuple[str, ...]:
        """The values that a list of a closed set may hold; empty for any other type."""
        if get_origin(self.type) is not tuple:
            return ()
        item = members(get_args(self.type)[0])[0]
        return tuple(get_args(item)) if get_origin(item) is Literal else ()


def config_fields(model: type[BaseModel] = FineTuneJobConfig) -> Iterator[ConfigField]:
    """Every field once, nested classes and variants included, in the order of the classes.

    Variants that share a field share its meaning and default; it belongs to all of them.
    """
    found: dict[str, ConfigField] = {}
    for field in _walk(model, prefix="", variant=None):
        known = found.get(field.path)
        if known is not None and known.variant is not None and field.variant is not None:
            field = replace(known, variant=(known.variant[0], known.variant[1] + field.variant[1]))
        found[field.path] = field
    yield from found.values()


def _walk(model: type[BaseModel], *, prefix: str, variant: tuple[str, tuple[str, ...]] | None) -> Iterator[ConfigField]:
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        nested = [member for member in members(info.annotation) if _is_model(member)]
        if info.discriminator:
            kinds = tuple(kind_of(member) for member in nested)
            description = "; ".join(
                f"{kind}: {_first_sentence(member)}" for kind, member in zip(kinds, nested, strict=True)
            )
            choice = FieldInfo(annotation=Literal[kinds], default=kinds[0], description=description)  # type: ignore[arg-type]
            yield ConfigField(f"{path}.kind", choice, variant)
            for member, kind in zip(nested, kinds, strict=True):
                yield from _walk(member, prefix=f"{path}.", variant=(f"{path}.kind", (kind,)))
        elif nested and type(None) not in members(info.annotation):
            yield from _walk(nested[0], prefix=f"{path}.", variant=variant)
        elif name != "kind":
            yield ConfigField(path, info, variant)


def kind_of(model: type[BaseModel]) -> str:
    """The word by which a variant is chosen."""
    return str(model.model_fields["kind"].default)


def members(annotation: Any) -> list[Any]:
    """The alternatives of a union, the annotation itself if it is none; metadata of Annotated is looked through."""
    if hasattr(annotation, "__metadata__"):
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [annotation]


def _is_model(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, BaseModel)


def _first_sentence(model: type[BaseModel]) -> str:
    sentence = " ".join((model.__doc__ or "").split())
    return sentence.partition(" (")[0].rstrip(".")
