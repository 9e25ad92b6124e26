"""A run as one command for a shell."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.cli_parser import command_parser
from pipeline.config import FineTuneJobConfig
from pipeline.config_fields import config_fields
from pipeline.config_flags import document_with_flags
from pipeline.errors import InvalidConfig
from pipeline.reproduce.settings import chosen_settings
from pipeline.validation import parse_job_config

_TRAIN = ("python", "-m", "pipeline", "train")
CONFIG_FILE = "job.yaml"


def as_command(config: FineTuneJobConfig) -> str:
    """One command, quoted for a POSIX shell, that starts the run.

    Its flags are parsed back before they are given out. Where a value cannot be a flag, such as a file called `none`,
    the command is `… train --config job.yaml`, for the file that `as_yaml` writes.
    """
    arguments = list(_flags(config))
    if not _means(arguments, config):
        arguments = ["--config", CONFIG_FILE]
    return shlex.join((*_TRAIN, *arguments))


def _flags(config: FineTuneJobConfig) -> Iterator[str]:
    document = chosen_settings(config)
    for field in config_fields():
        section: Any = document
        *parents, leaf = field.path.split(".")
        for parent in parents:
            section = section.get(parent, {})
        if leaf not in section:
            continue
        value = _text(section[leaf])
        # A value that begins with a dash would be taken for a flag.
        yield from [f"--{field.path}={value}"] if value.startswith("-") else [f"--{field.path}", value]


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _means(arguments: Sequence[str], config: FineTuneJobConfig) -> bool:
    """Whether the command line makes this configuration of the arguments."""
    if any("\0" in argument or not _is_encodable(argument) for argument in arguments):
        return False
    parsed = vars(command_parser().parse_args([_TRAIN[-1], *arguments]))
    paths = {field.path for field in config_fields()}
    given = {path: value for path, value in parsed.items() if path in paths}
    try:
        return parse_job_config(document_with_flags({}, given)) == config
    except InvalidConfig:
        return False


def _is_encodable(text: str) -> bool:
    """Whether a shell can be given the text: half of a surrogate pair is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
