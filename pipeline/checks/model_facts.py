"""What a base model's small files tell: its configuration, its licence, whether it has weights and a chat template."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_address import source_of

_FRONT_MATTER = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)


@dataclass(frozen=True)
class KnownModel:
    """What a catalogue tells of a model that need not be here."""

    licence: str
    is_gated: bool
    parameters: int


@dataclass(frozen=True)
class ModelFacts:
    """The base model's folder and its config.json, where it is on this disk. `is_hub_copy`: the folder is the one of
    the Hub's cache, to which the run fetches what it lacks."""

    path: Path
    config: Mapping[str, Any]
    weights_bytes: int
    has_chat_template: bool
    licence: str | None = None
    is_hub_copy: bool = False

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The part of the configuration that is about the language model; all of it where there is no other part."""
        text = self.config.get("text_config")
        return text if isinstance(text, Mapping) else self.config

    @property
    def model_type(self) -> str:
        """The name of the architecture; empty where config.json has none."""
        return str(self.config.get("model_type", ""))

    @property
    def context_length(self) -> int | None:
        """Tokens that the model reads at once, as its configuration says."""
        found = self.config.get("max_position_embeddings", self.text_config.get("max_position_embeddings"))
        return found if isinstance(found, int) else None

    @property
    def widest_head(self) -> int:
        """The largest number of features of an attention head; 0 where the configuration does not tell."""
        return max((size for size in _head_sizes(self.text_config)), default=0)


def model_facts(config: ModelConfig, *, cached: Path | None = None) -> ModelFacts | None:
    """The facts of the base model where it is a folder, else of `cached`, its folder in the Hub's cache; None where
    neither has a config.json."""
    try:
        source = source_of(config)
    except ModelUnavailable:
        return None
    folder = source if isinstance(source, Path) else cached
    if folder is None or not (folder / "config.json").is_file():
        return None
    tokenizer = folder / "tokenizer_config.json"
    in_tokenizer = tokenizer.is_file() and "chat_template" in tokenizer.read_text(encoding="utf-8")
    return ModelFacts(
        path=folder,
        config=_object_in(folder / "config.json"),
        weights_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        has_chat_template=in_tokenizer or (folder / "chat_template.jinja").is_file(),
        licence=_licence_in(folder / "README.md"),
        is_hub_copy=not isinstance(source, Path),
    )


def _object_in(file: Path) -> Mapping[str, Any]:
    """A JSON object; empty where the file holds something else, of which the check of the files tells."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _licence_in(readme: Path) -> str | None:
    """The licence that the header of a model card names."""
    try:
        header = _FRONT_MATTER.match(readme.read_text(encoding="utf-8"))
        told = yaml.safe_load(header[1]) if header is not None else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    if not isinstance(told, dict):
        return None
    # "other" is what the Hub calls a licence of the model's own, whose name is beside it.
    names = (
        (told.get("license_name"), told.get("license")) if told.get("license") == "other" else (told.get("license"),)
    )
    return next((name for name in names if isinstance(name, str)), None)


def _head_sizes(text: Mapping[str, Any]) -> Iterator[int]:
    layers = text.get("per_layer_config")
    parts = [text, *(layers.values() if isinstance(layers, Mapping) else ())]
    for part in parts:
        if isinstance(part, Mapping):
            yield from (part[key] for key in ("head_dim", "global_head_dim") if isinstance(part.get(key), int))
    hidden, heads = text.get("hidden_size"), text.get("num_attention_heads")
    if "head_dim" not in text and isinstance(hidden, int) and isinstance(heads, int) and heads:
        yield hidden // heads
