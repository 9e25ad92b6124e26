"""What a tracker is shown of the job document: the settings, but no secret in an address and no local path."""

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import FineTuneJobConfig

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)(?:[^/@\s]*@)?([^?#\s]*)\S*")
_LOCAL_PATH = re.compile(r"(/|~|\./|\.\./)[^\r\n]*")


def shown_settings(config: "FineTuneJobConfig") -> dict[str, Any]:
    """The job document without its tracking section.

    Local paths are cut to their last part: the others name the user and the layout of the machine. Addresses lose user,
    password and query, in which signed ones carry their key.
    """
    document: dict[str, Any] = _shown(config.model_dump(mode="json", exclude={"tracking"}))
    return document


def _shown(value: Any) -> Any:
    match value:
        case dict():
            return {name: _shown(part) for name, part in value.items()}
        case list():
            return [_shown(part) for part in value]
        case str() if address := _ADDRESS.fullmatch(value):
            return address[1] + address[2]
        case str() if _LOCAL_PATH.fullmatch(value):
            return PurePath(value).name
        case _:
            return value
