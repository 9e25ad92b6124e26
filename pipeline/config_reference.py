"""The configuration reference: every setting as a table in Markdown."""

from collections.abc import Iterator
from itertools import groupby
from typing import get_origin

import annotated_types

from pipeline.config_fields import ConfigField, config_fields
from pipeline.data.mapping import Mapping


def config_reference() -> str:
    """One table a section, in the order of the classes."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every setting of a job"
    yield ""
    yield "Made by `python -m pipeline schema --markdown`. The dotted name is the same in the form, a YAML file, the"
    yield "API and the flags (`--training.learning_rate`, or short `--learning-rate`)."
    for section, fields in groupby(config_fields(), key=lambda field: field.section):
        yield ""
        yield f"## {section or 'The job'}"
        yield ""
        yield "| setting | type | default | meaning |"
        yield "|---|---|---|---|"
        for field in fields:
            yield f"| `{field.path}` | {_type(field)} | {_default(field)} | {_meaning(field)} |"


def _type(field: ConfigField) -> str:
    if field.choices:
        return " · ".join(f"`{choice}`" for choice in field.choices)
    if field.options:
        return "list of " + " · ".join(f"`{option}`" for option in field.options)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Mapping: "object"}
    name = "list" if get_origin(field.type) is tuple else names[field.type]
    return f"{name}{_bounds(field)}"


def _bounds(field: ConfigField) -> str:
    words = []
    for item in field.info.metadata:
        match item:
            case annotated_types.Ge(ge=low):
                words.append(f"from {low:,}")
            case annotated_types.Gt(gt=low):
                words.append(f"over {low:,}")
            case annotated_types.Le(le=high):
                words.append(f"to {high:,}")
            case annotated_types.Lt(lt=high):
                words.append(f"under {high:,}")
    return f", {' '.join(words)}" if words else ""


def _default(field: ConfigField) -> str:
    if field.info.is_required():
        return "required"
    return (
        "empty"
        if field.default is None
        else f"`{field.default}`".replace("`True`", "`true`").replace("`False`", "`false`")
    )


def _meaning(field: ConfigField) -> str:
    text = str(field.info.description)
    if field.variant is None:
        return text
    path, kinds = field.variant
    return f"{text} Only with `{path}: {' | '.join(kinds)}`."
