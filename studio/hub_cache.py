"""Which Hub models this machine has already, read from the cache's folder names without importing the Hub client."""

import os
from pathlib import Path


def cached_models() -> frozenset[str]:
    """Hub ids with a snapshot in the local cache (HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub)."""
    home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", str(Path(home) / "hub")))
    folders = [folder for folder in cache.glob("models--*") if any(folder.glob("snapshots/*/config.json"))]
    return frozenset(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)
