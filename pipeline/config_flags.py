"""Command-line flags made from the configuration classes, and the document that given flags describe."""

import argparse
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import FineTuneJobConfig

# Names that the fine-tune service of the first release used.
ALIASES = {"training_data_path": "dataset.path", "output_model_name": "name"}
NONE_WORDS = ("none", "null", "")


@dataclass(frozen=True)
class Flag:
    """One leaf of the configuration: its dotted path and the field."""

    path: str
    field: FieldInfo

    @property
    def leaf(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def takes_none(self) -> bool:
        """Whether the field may be empty."""
        return type(None) in _members(self.field.annotation)

    @property
    def is_switch(self) -> bool:
        """Whether the field is true or false."""
        return self.field.annotation is bool


def config_flags() -> list[Flag]:
    """A flag for every leaf; fields of variants that share a path are one flag."""
    flags: dict[str, Flag] = {}
    for flag in _leaves(FineTuneJobConfig):
        flags.setdefault(flag.path, flag)
    return [flag for flag in flags.values() if flag.path != "kind"]


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` a dotted flag for every leaf, and a short one where the last part of the name is unique."""
    flags = config_flags()
    leaves = Counter(flag.leaf for flag in flags)
    taken = {action.dest for action in parser._actions}
    groups: dict[str, argparse._ArgumentGroup] = {}
    for flag in flags:
        section = flag.path.rpartition(".")[0]
        if section not in groups:
            groups[section] = parser.add_argument_group(section or "job")
        names = [f"--{flag.path}"]
        if leaves[flag.leaf] == 1 and flag.leaf not in taken:
            names.append(f"--{flag.leaf.replace('_', '-')}")
        names += [f"--{alias.replace('_', '-')}" for alias, path in ALIASES.items() if path == flag.path]
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if flag.is_switch else {}
        groups[section].add_argument(
            *dict.fromkeys(names),
            dest=flag.path,
            default=argparse.SUPPRESS,
            metavar=_metavar(flag),
            help=_help(flag),
            **switch,
        )


def document_with_flags(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """`document` with the given dotted flags put over it."""
    flags = {flag.path: flag for flag in config_flags()}
    merged: dict[str, Any] = {**document}
    for path, value in given.items():
        *sections, leaf = path.split(".")
        target = merged
        for section in sections:
            inner = target.get(section)
            target[section] = {**inner} if isinstance(inner, Mapping) else {}
            target = target[section]
        target[leaf] = None if flags[path].takes_none and value.lower() in NONE_WORDS else value
    return merged


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[Flag]:
    for name, field in model.model_fields.items():
        nested = [kind for kind in _members(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            yield Flag(prefix + name, field)
        for kind in nested:
            yield from _leaves(kind, f"{prefix}{name}.")


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a union, the annotation itself if it is none; metadata of Annotated is looked through."""
    if hasattr(annotation, "__metadata__"):
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _metavar(flag: Flag) -> str:
    choices = [value for member in _members(flag.field.annotation) for value in get_args(member)]
    if choices:
        return "|".join(map(str, choices))
    return "true|false" if flag.is_switch else flag.leaf.upper()


def _help(flag: Flag) -> str:
    field = flag.field
    text = field.description or "Which variant this section is."
    default = "" if field.is_required() else f" [default: {'empty' if field.default is None else field.default}]"
    return (text + default).replace("%", "%%")
