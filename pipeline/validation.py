"""Turns raw data into a job document, or into a list of sentences that name each field and its cure."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config import OUTPUT_NAME_PATTERN, AnyJobConfig, FineTuneJobConfig, JobConfig
from pipeline.config_fields import ConfigField, config_fields
from pipeline.data_config import AugmentJobConfig, ImportJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.export_config import ExportJobConfig

Parsed = TypeVar("Parsed", bound=BaseModel)
_ANY_JOB: TypeAdapter[AnyJobConfig] = TypeAdapter(JobConfig)


def parse_job_config(data: Any) -> FineTuneJobConfig:
    """The fine-tuning run that `data` (nested plain types) describes.

    Raises:
        InvalidConfig: with every problem found, not only the first.
    """
    return _parse(FineTuneJobConfig, data)


def parse_import_config(data: Any) -> ImportJobConfig:
    """The import that `data` describes. Raises InvalidConfig."""
    return _parse(ImportJobConfig, data)


def parse_augment_config(data: Any) -> AugmentJobConfig:
    """The augmentation that `data` describes. Raises InvalidConfig."""
    return _parse(AugmentJobConfig, data)


def parse_export_config(data: Any) -> ExportJobConfig:
    """The export that `data` describes. Raises InvalidConfig."""
    return _parse(ExportJobConfig, data)


def parse_any_job_config(data: Any) -> AnyJobConfig:
    """The job of any kind that `data` describes. Raises InvalidConfig."""
    try:
        return _ANY_JOB.validate_python(data)
    except ValidationError as error:
        raise InvalidConfig(problems_of(error)) from error


def _parse(model: type[Parsed], data: Any) -> Parsed:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, model=model)) from error


def problems_of(
    error: ValidationError, *, model: type[BaseModel] = FineTuneJobConfig, prefix: str = ""
) -> list[Problem]:
    """A sentence for each thing that is wrong with a document of `model`; `prefix` is where the validated part stands
    in it."""
    fields = list(config_fields(model))
    return [_problem(detail, fields, prefix) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, fields: list[ConfigField], prefix: str) -> Problem:
    path = _without_kinds([*([prefix] if prefix else []), *map(str, detail["loc"])], fields)
    field = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return Problem(field, _unknown_key(path, fields))
    if detail["type"] == "missing":
        return Problem(field, "is required. Give it a value.")
    if detail["type"] == "string_too_short" and not str(detail["input"]).strip():
        return Problem(field, "is empty. Give it a value.")
    if detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"] == OUTPUT_NAME_PATTERN:
        rule = "needs 1 to 96 letters, digits, dots, hyphens or underscores, the first a letter or a digit"
        return Problem(field, f"{rule}; it was {_shown(detail['input'])}.")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("value_error", "model_type"):
        return Problem(field, message)
    return Problem(field, f"{message[0].lower()}{message[1:]}; it was {_shown(detail['input'])}.")


def _without_kinds(path: list[str], fields: list[ConfigField]) -> list[str]:
    """The path as people write it: pydantic puts the kind of a variant behind the field that it is the kind of."""
    variants = {
        (field.variant[0].removesuffix(".kind"), kind) for field in fields if field.variant for kind in field.variant[1]
    }
    kept: list[str] = []
    dropped = False
    for part in path:
        # A variant may have a field of its own kind's name.
        dropped = not dropped and (".".join(kept), part) in variants
        if not dropped:
            kept.append(part)
    return kept


def _unknown_key(path: list[str], fields: list[ConfigField]) -> str:
    section, name = ".".join(path[:-1]), path[-1]
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
