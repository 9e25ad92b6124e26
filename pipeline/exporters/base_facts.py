"""What others may know of a base model: its id on the Hub, its name, and its licence, where something tells it."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_address import HubModel, StoredModel, source_of

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_FRONT_MATTER = re.compile(r"\s*---\s*\n(.*?)\n---\s*(\n|$)", re.DOTALL)
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_LICENCE_FILES = ("LICENSE*", "LICENCE*")
# How the texts of licences begin, by what the Hub calls them.
_TITLES = {
    "apache-2.0": "Apache License Version 2.0",
    "mit": "MIT License",
    "gemma": "Gemma Terms of Use",
}
_TITLE_CHARACTERS = 300


@dataclass(frozen=True)
class Licence:
    """`id` is what the Hub calls it; `name` and `link` go with the id `other`. `told_by` says how it is known."""

    id: str
    told_by: str
    name: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class BaseFacts:
    """`hub_id` is None for a model that is not on the Hub; then `name` is the last part of its place."""

    hub_id: str | None
    name: str
    revision: str | None
    licence: Licence | None
    sees_images: bool
    has_chat_template: bool


def base_facts(config: ModelConfig, folder: Path) -> BaseFacts:
    """The facts of the base model that lies in `folder`; nothing is asked over the network."""
    try:
        source = source_of(config)
    except ModelUnavailable:
        source = folder
    hub_id = revision = None
    match source:
        case HubModel(found, at) if _HUB_ID.fullmatch(found):
            hub_id, name, revision = found, found, at
        case HubModel(found):
            name = found
        case StoredModel(address):
            name = address.rstrip("/").rpartition("/")[2]
        case _:
            name = source.resolve().name
    text = _text(folder / "tokenizer_config.json")
    return BaseFacts(
        hub_id=hub_id,
        name=name,
        revision=revision,
        licence=_licence(hub_id, folder),
        sees_images='"vision_config"' in _text(folder / "config.json"),
        has_chat_template=(folder / "chat_template.jinja").is_file() or '"chat_template"' in text,
    )


def _licence(hub_id: str | None, folder: Path) -> Licence | None:
    return _in_card(folder / "README.md") or _in_catalogue(hub_id, folder) or _in_text(folder)


def _in_card(readme: Path) -> Licence | None:
    header = _FRONT_MATTER.match(_text(readme))
    try:
        told = yaml.safe_load(header[1]) if header is not None else None
    except yaml.YAMLError:
        return None
    if not isinstance(told, dict):
        return None
    found = told.get("license")
    if not isinstance(found, str) or not _LICENCE_ID.fullmatch(found.lower()):
        return None
    name, link = told.get("license_name"), told.get("license_link")
    return Licence(
        found.lower(),
        "the base model's card",
        name=name if isinstance(name, str) and _LICENCE_ID.fullmatch(name) else None,
        link=link if isinstance(link, str) and re.fullmatch(r"https://[^\s<>\"'`|()]+", link) else None,
    )


def _in_catalogue(hub_id: str | None, folder: Path) -> Licence | None:
    assets, here = _assets(), folder.resolve()
    for model in _catalogue():
        place = model.get("path")
        is_it = model["id"] == hub_id if place is None else hub_id is None and (assets / place).resolve() == here
        if is_it:
            return Licence(model["licence"].lower(), "the studio's list of models")
    return None


def _in_text(folder: Path) -> Licence | None:
    for file in sorted(file for pattern in _LICENCE_FILES for file in folder.glob(pattern) if file.is_file()):
        title = " ".join(_text(file).split())[:_TITLE_CHARACTERS].lower()
        for licence, begins in _TITLES.items():
            if begins.lower() in title:
                return Licence(licence, f"the base model's file {file.name}")
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _assets() -> Path:
    return Path(__file__).parents[2] / "assets"


@cache
def _catalogue() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((_assets() / "base_models.yaml").read_text("utf-8"))
    return found
