"""Turns raw data into a job document, or into a list of sentences that name each field and its cure."""

import difflib
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.config import OUTPUT_NAME_PATTERN, JobConfig
from pipeline.config_fields import config_fields
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
    # pydantic puts the kind of a variant into the path of its fields.
    kinds = {field.variant[1] for field in config_fields() if field.variant}
    path = [str(part) for part in detail["loc"] if part not in kinds]
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
