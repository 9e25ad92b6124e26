"""What the name of a base model stands for: a folder, a model of the Hugging Face Hub, or a folder in a bucket."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable

STORE_SCHEMES = ("s3", "s3a", "gs", "gcs")
_HF_ADDRESS = re.compile(r"([^/@]+/[^/@]+)(?:@([^/]+))?/?")
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_HUB_PAGE = re.compile(r"([^/?#]+/[^/?#]+)(?:/tree/([^/?#]+))?/?")


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub at a branch, tag or commit."""

    id: str
    revision: str


@dataclass(frozen=True)
class StoredModel:
    """A model in a bucket: the address of its folder."""

    address: str


ModelSource = Path | HubModel | StoredModel


def source_of(config: ModelConfig) -> ModelSource:
    """What `base_model` names: a folder of this machine, a model of the Hub, or a folder in a bucket.

    Raises:
        ModelUnavailable: an address of a kind that no model can be fetched from.
    """
    name = config.base_model
    scheme, _, rest = name.partition("://")
    if not rest:
        return Path(name).expanduser() if looks_like_folder(name) else HubModel(name, config.revision)
    match scheme.lower():
        case "file":
            return Path(unquote(urlsplit(name).path))
        case "hf":
            return _hub_model(_HF_ADDRESS, name, rest, config.revision)
        case "https" if (host := urlsplit(name).netloc.lower()) in _HUB_HOSTS:
            return _hub_model(_HUB_PAGE, name, rest[len(host) + 1 :], config.revision)
        case kind if kind in STORE_SCHEMES:
            return StoredModel(name.rstrip("/"))
        case _:
            raise ModelUnavailable(
                f"No model can be fetched from {scheme}:// addresses. Give a Hugging Face id, a folder, or an address "
                "that begins with hf://, s3:// or gs://."
            )


def looks_like_folder(name: str) -> bool:
    """Whether `name` is that of a folder and not of a model of the Hub (`name` or `owner/name`)."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).is_dir()


def _hub_model(pattern: re.Pattern[str], name: str, rest: str, revision: str) -> HubModel:
    match = pattern.fullmatch(rest)
    if match is None:
        raise ModelUnavailable(f"{name} is not the address of a model. Give one like hf://owner/name or its id alone.")
    told = match[2]
    return HubModel(match[1], revision if told is None else unquote(told))
