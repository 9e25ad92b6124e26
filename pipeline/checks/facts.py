"""Facts: what the checks know about the world, gathered once, without loading a model."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import JobConfig
from pipeline.data_formats import ExampleSet, read_examples
from pipeline.errors import DataProblem


@dataclass(frozen=True)
class ModelFacts:
    """The base model's folder and its config.json, where it is on this disk."""

    path: Path
    config: Mapping[str, Any]
    weights_bytes: int
    has_chat_template: bool


@dataclass(frozen=True)
class Facts:
    """Everything the checks may look at. `data` or `eval_data` is the problem when the file cannot be used."""

    model: ModelFacts | None
    data: ExampleSet | DataProblem
    eval_data: ExampleSet | DataProblem | None
    free_disk_bytes: int
    cached_models: frozenset[str]

    @property
    def train_rows(self) -> int:
        """Usable rows before the evaluation split; 0 when the data set cannot be read."""
        return 0 if isinstance(self.data, DataProblem) else len(self.data.examples)


def gather_facts(config: JobConfig, *, output_dir: Path, cached_models: frozenset[str] = frozenset()) -> Facts:
    """Look at the disk and the data set of `config`. `output_dir` is where the run folder will be made."""
    return Facts(
        model=_model_facts(Path(config.model.base_model)),
        data=_examples(Path(config.dataset.path), config),
        eval_data=None if config.dataset.eval_path is None else _examples(Path(config.dataset.eval_path), config),
        free_disk_bytes=shutil.disk_usage(_existing(output_dir)).free,
        cached_models=cached_models,
    )


def training_rows(config: JobConfig, facts: Facts) -> int:
    """Rows that are trained on: after `max_rows` and the evaluation split."""
    rows = min(facts.train_rows, config.dataset.max_rows or facts.train_rows)
    if config.dataset.eval_path is None and config.dataset.eval_share > 0:
        return rows - evaluation_rows(config, facts)
    return rows


def evaluation_rows(config: JobConfig, facts: Facts) -> int:
    """Rows that are held out."""
    if config.dataset.eval_path is not None:
        return len(facts.eval_data.examples) if isinstance(facts.eval_data, ExampleSet) else 0
    rows = min(facts.train_rows, config.dataset.max_rows or facts.train_rows)
    return max(1, round(rows * config.dataset.eval_share)) if config.dataset.eval_share > 0 and rows > 1 else 0


def _examples(path: Path, config: JobConfig) -> ExampleSet | DataProblem:
    try:
        return read_examples(path, config.dataset)
    except DataProblem as problem:
        return problem


def _model_facts(path: Path) -> ModelFacts | None:
    if not (path / "config.json").is_file():
        return None
    tokenizer = path / "tokenizer_config.json"
    in_tokenizer = tokenizer.is_file() and "chat_template" in tokenizer.read_text(encoding="utf-8")
    return ModelFacts(
        path=path,
        config=json.loads((path / "config.json").read_text(encoding="utf-8")),
        weights_bytes=sum(file.stat().st_size for file in path.glob("*.safetensors")),
        has_chat_template=in_tokenizer or (path / "chat_template.jinja").is_file(),
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
