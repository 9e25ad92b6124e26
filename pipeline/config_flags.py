"""Command-line flags made from the configuration classes, and the document that given flags describe."""

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.config_fields import ConfigField, config_fields

# Names that the fine-tune service of the first release used.
ALIASES = {"training_data_path": "dataset.path", "output_model_name": "name"}
NONE_WORDS = ("none", "null", "")


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` a dotted flag for every leaf, and a short one where the last part of the name is unique."""
    flags = list(config_fields())
    leaves = Counter(_leaf(flag) for flag in flags)
    taken = {action.dest for action in parser._actions}
    groups: dict[str, argparse._ArgumentGroup] = {}
    for flag in flags:
        section = flag.section
        if section not in groups:
            groups[section] = parser.add_argument_group(section or "job")
        names = [f"--{flag.path}"]
        # Any section may have a kind; `--kind` alone would say nothing.
        if leaves[_leaf(flag)] == 1 and _leaf(flag) not in {*taken, "kind"}:
            names.append(f"--{_leaf(flag).replace('_', '-')}")
        names += [f"--{alias.replace('_', '-')}" for alias, path in ALIASES.items() if path == flag.path]
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if flag.type is bool else {}
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
    flags = {flag.path: flag for flag in config_fields()}
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


def _leaf(flag: ConfigField) -> str:
    return flag.path.rpartition(".")[2]


def _metavar(flag: ConfigField) -> str:
    if flag.choices:
        return "|".join(flag.choices)
    return "true|false" if flag.type is bool else _leaf(flag).upper()


def _help(flag: ConfigField) -> str:
    default = "" if flag.info.is_required() else f" [default: {'empty' if flag.default is None else flag.default}]"
    return (str(flag.info.description) + default).replace("%", "%%")
