"""Turns raw data into a job document, or into a list of sentences that name each field and its cure."""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.config import JobConfig
from pipeline.errors import InvalidConfig, Problem


def parse_job_config(data: Any) -> JobConfig:
    """The job document that `data` (nested plain types) describes.

    Raises:
        InvalidConfig: with every problem found, not only the first.
    """
    try:
        return JobConfig.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig([_problem(detail) for detail in error.errors(include_url=False)]) from error


def _problem(detail: ErrorDetails) -> Problem:
    kinds = set(_variant_kinds(JobConfig))
    path = [str(part) for part in detail["loc"] if part not in kinds]
    field = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return Problem(field, _unknown_key(path))
    if detail["type"] == "missing":
        return Problem(field, "is required. Give it a value.")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("value_error", "model_type"):
        return Problem(field, message)
    return Problem(field, f"{message[0].lower()}{message[1:]}; it was {_shown(detail['input'])}.")


def _unknown_key(path: list[str]) -> str:
    *where, name = path
    fields = list(_all_fields(JobConfig))
    if (tuple(where), name) in fields:
        return "is a setting of another kind. Take it out, or change the kind."
    siblings = {field: ".".join((*where, field)) for parents, field in fields if list(parents) == where}
    everywhere = {field: ".".join((*parents, field)) for parents, field in fields}
    for candidates, cutoff in ((siblings, 0.75), (everywhere, 0.75), (siblings, 0.5), (everywhere, 0.5)):
        containing = [field for field in candidates if name in field.split("_") or f"_{name}" in field]
        if near := containing or difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff):
            return f"is not a setting. Did you mean {candidates[near[0]]}?"
    return f"is not a setting. The settings here are: {', '.join(sorted(siblings))}."


def _all_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, field in model.model_fields.items():
        yield path, name
        for nested in _nested_models(field):
            yield from _all_fields(nested, (*path, name))


def _variant_kinds(model: type[BaseModel]) -> Iterator[str]:
    for field in model.model_fields.values():
        for nested in _nested_models(field):
            if field.discriminator:
                yield nested.model_fields["kind"].default
            yield from _variant_kinds(nested)


def _nested_models(field: FieldInfo) -> list[type[BaseModel]]:
    candidates = (field.annotation, *get_args(field.annotation))
    return [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
