"""Finds what an export starts from: a run, one of its checkpoints, or an adapter from elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.export_config import ExportJobConfig
from pipeline.run_dir import RunDir

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class ExportSource:
    """A base model with the folder of an adapter, or of a whole model in place of both; and held-out questions."""

    base: ModelConfig
    adapter: Path | None
    whole: Path | None
    questions: Sequence[str]
    run: RunDir | None


def find_source(config: ExportJobConfig) -> ExportSource:
    """What `config.source` is.

    Raises:
        ModelUnavailable: there is nothing to export at that place, or the base model of the adapter is not known.
    """
    folder = Path(config.source).expanduser()
    run = next((RunDir(place) for place in (folder, folder.parent.parent) if (place / "config.json").exists()), None)
    if (folder / ADAPTER_CONFIG).exists():
        settings = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
        if settings.get("task_type") == "SEQ_CLS":
            raise _is_scorer(folder.name)
        return ExportSource(_base_of(config, folder, run), folder, None, _questions(run), run)
    if run is None or run.path != folder:
        raise ModelUnavailable(
            f"{folder} is neither a run nor an adapter: it has no {ADAPTER_CONFIG}. Name the folder of a run, of a "
            "checkpoint, or of an adapter."
        )
    if run.read_manifest() is None:
        raise ModelUnavailable(f"{folder} is not the folder of a completed run: it has no whole result.json.")
    training = run.read_training_config()
    if training.method.kind == "reward":
        raise _is_scorer(folder.name)
    if training.tuning.kind == "full":
        return ExportSource(training.model, None, run.artifact("model"), _questions(run), run)
    return ExportSource(training.model, run.artifact("adapter"), None, _questions(run), run)


def _is_scorer(name: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{name} is a reward model, which gives scores and no text; what is exported is compared by its text. The run "
        "keeps its adapter, and with export.merged it writes the merged model."
    )


def _base_of(config: ExportJobConfig, adapter: Path, run: RunDir | None) -> ModelConfig:
    if config.base_model is not None:
        return ModelConfig(base_model=config.base_model)
    if run is not None:
        return run.read_training_config().model
    named = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8")).get("base_model_name_or_path")
    if not named:
        raise ModelUnavailable(f"{adapter} does not say which model it was trained on. Name it as base_model.")
    return ModelConfig(base_model=named)


def _questions(run: RunDir | None) -> list[str]:
    return [] if run is None else [question for question, _ in run.read_held_out()]
