"""What a run found out when it loaded its model and rows, and a script has to know; read from its folder."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.events import DataLoaded, ModelLoaded
from pipeline.run_dir import RunDir

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
# Only what reads images leaves one of these beside its weights.
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class RunFacts:
    """How automatic settings came out, the rows that were trained on, and PEFT's configuration of the adapter."""

    precision: str
    attention: str
    device: str
    max_length: int
    train_rows: int
    trained_tokens: int
    adapter: dict[str, Any] | None
    sees_images: bool
    versions: dict[str, str]


def read_facts(run_dir: RunDir) -> RunFacts:
    """The facts of a run that trains or has trained.

    Raises:
        InvalidConfig: it has not come so far, or wrote no adapter from which the adapted layers are known.
    """
    config = run_dir.read_training_config()
    events, _ = run_dir.read_events()
    model = next((event for event in reversed(events) if isinstance(event, ModelLoaded)), None)
    data = next((event for event in reversed(events) if isinstance(event, DataLoaded)), None)
    if model is None or data is None:
        raise _problem("it has not loaded its model and rows yet. Wait until it trains")
    folders = _written(run_dir)
    return RunFacts(
        precision=model.precision,
        attention=model.attention,
        device=model.device,
        max_length=data.max_length,
        train_rows=data.train_rows,
        trained_tokens=data.trained_tokens,
        adapter=None if config.tuning.kind == "full" else _adapter(folders),
        sees_images=any((folder / name).exists() for folder in folders for name in _PROCESSOR_FILES),
        versions=_versions(run_dir, config),
    )


def _written(run_dir: RunDir) -> list[Path]:
    """Folders with weights of the run, the result first."""
    results = [run_dir.artifact("adapter"), run_dir.artifact("model")]
    return [folder for folder in (*results, *run_dir.checkpoints.glob("checkpoint-*")) if folder.is_dir()]


def _adapter(folders: list[Path]) -> dict[str, Any]:
    for folder in folders:
        file = folder / "adapter_config.json"
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    raise _problem("it has written no adapter or checkpoint yet, and those say which layers are adapted. Wait for one")


def _versions(run_dir: RunDir, config: FineTuneJobConfig) -> dict[str, str]:
    """Those that the run noted when it ended, else those that are installed."""
    manifest = run_dir.read_manifest()
    noted = {} if manifest is None else manifest.versions
    names = (*PACKAGES, *(["bitsandbytes"] if config.model.quantization != "none" else []))
    return {name: noted[name] if name in noted else version(name) for name in names}


def _problem(reason: str) -> InvalidConfig:
    return InvalidConfig([Problem("", f"No script can be written for this run, because {reason}.")])
