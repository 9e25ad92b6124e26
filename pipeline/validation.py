"""Turns raw data into a job document, or into a list of sentences that name each field and its cure."""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config import (
    OUTPUT_NAME_PATTERN,
    AnyJobConfig,
    AugmentJobConfig,
    FineTuneJobConfig,
    ImportJobConfig,
    JobConfig,
)
from pipeline.config_fields import config_fields
from pipeline.errors import InvalidConfig, Problem

Parsed = TypeVar("Parsed")
_ANY_JOB: TypeAdapter[AnyJobConfig] = TypeAdapter(JobConfig)


def parse_job_config(data: Any) -> FineTuneJobConfig:
    """The fine-tuning run that `data` (nested plain types) describes.

    Raises:
        InvalidConfig: with every problem found, not only the first.
    """
    return _parse(FineTuneJobConfig.model_validate, data)


def parse_import_config(data: Any) -> ImportJobConfig:
    """The import that `data` describes. Raises InvalidConfig."""
    return _parse(ImportJobConfig.model_validate, data)


def parse_augment_config(data: Any) -> AugmentJobConfig:
    """The augmentation that `data` describes. Raises InvalidConfig."""
    return _parse(AugmentJobConfig.model_validate, data)


def parse_any_job_config(data: Any) -> AnyJobConfig:
    """The job of any kind that `data` describes. Raises InvalidConfig."""
    return _parse(_ANY_JOB.validate_python, data)


def _parse(validate: Callable[[Any], Parsed], data: Any) -> Parsed:
    try:
        return validate(data)
    except ValidationError as error:
        raise InvalidConfig(problems_of(error)) from error


def problems_of(error: ValidationError, *, prefix: str = "") -> list[Problem]:
    """A sentence for each thing that is wrong; `prefix` is where the validated part stands in the document."""
    return [_problem(detail, prefix) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, prefix: str) -> Problem:
    # pydantic puts the kind of a variant into the path of its fields.
    kinds = {field.variant[1] for field in config_fields() if field.variant}
    path = [*([prefix] if prefix else []), *(str(part) for part in detail["loc"] if part not in kinds)]
    field = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return Problem(field, _unknown_key(path))
    if detail["type"] == "missing":
        return Problem(field, "is required. Give it a value.")
    if detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"] == OUTPUT_NAME_PATTERN:
        rule = "needs 1 to 96 letters, digits, dots, hyphens or underscores, the first a letter or a digit"
        return Problem(field, f"{rule}; it was {_shown(detail['input'])}.")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("value_error", "model_type"):
        return Problem(field, message)
    return Problem(field, f"{message[0].lower()}{message[1:]}; it was {_shown(detail['input'])}.")


def _unknown_key(path: list[str]) -> str:
    section, name = ".".join(path[:-1]), path[-1]
    fields = list(config_fields())
    if ".".join(path) in {field.path for field in fields}:
        return "is a setting of another kind. Take it out, or change the kind."
    siblings = {field.name: field.path for field in fields if field.section == section}
    everywhere = {field.name: field.path for field in fields}
    for candidates, cutoff in ((siblings, 0.75), (everywhere, 0.75), (siblings, 0.5), (everywhere, 0.5)):
        containing = [known for known in candidates if name in known.split("_") or f"_{name}" in known]
        if near := containing or difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff):
            return f"is not a setting. Did you mean {candidates[near[0]]}?"
    inner = {field.path.removeprefix(f"{section}.").split(".")[0] for field in fields if field.path.startswith(section)}
    return f"is not a setting. The settings here are: {', '.join(sorted(inner))}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
