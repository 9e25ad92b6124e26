"""Which Hub models this machine has already, read from the cache's folder names without importing the Hub client."""

import os
from pathlib import Path

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_address import HubModel, source_of


def cache_folder() -> Path:
    """Where downloads from the Hub are kept: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub."""
    home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", str(Path(home) / "hub")))


def cached_models() -> frozenset[str]:
    """Hub ids with a snapshot in the local cache."""
    folders = [folder for folder in cache_folder().glob("models--*") if any(folder.glob("snapshots/*/config.json"))]
    return frozenset(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)


def cached_folder(config: ModelConfig) -> Path | None:
    """The folder in the cache with what was fetched of a Hub model at its revision; None where that is nothing."""
    try:
        source = source_of(config)
    except ModelUnavailable:
        return None
    if not isinstance(source, HubModel):
        return None
    folder = cache_folder() / f"models--{source.id.replace('/', '--')}"
    named = folder / "refs" / source.revision
    commit = named.read_text(encoding="utf-8").strip() if named.is_file() else source.revision
    snapshot = folder / "snapshots" / commit
    return snapshot if (snapshot / "config.json").is_file() else None
