"""Facts: what the checks know about the world, gathered once, without loading a model."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem


@dataclass(frozen=True)
class ModelFacts:
    """The base model's folder and its config.json, where it is on this disk."""

    path: Path
    config: Mapping[str, Any]
    weights_bytes: int
    has_chat_template: bool

    @property
    def context_length(self) -> int | None:
        """Tokens that the model reads at once, as its configuration says."""
        text = self.config.get("text_config", {})
        found = self.config.get("max_position_embeddings", text.get("max_position_embeddings"))
        return int(found) if isinstance(found, int) else None


@dataclass(frozen=True)
class Facts:
    """Everything the checks may look at. `data` is the problem where the rows cannot be used, and None where they have
    to be fetched first."""

    model: ModelFacts | None
    data: Inspection | DataProblem | None
    free_disk_bytes: int
    cached_models: frozenset[str]

    @property
    def train_rows(self) -> int:
        """Rows that would be trained on; 0 where they are not known."""
        return self.data.train_rows if isinstance(self.data, Inspection) else 0

    @property
    def eval_rows(self) -> int:
        """Rows that would be held out; 0 where they are not known."""
        return self.data.eval_rows if isinstance(self.data, Inspection) else 0


def gather_facts(
    config: FineTuneJobConfig,
    *,
    data: Inspection | DataProblem | None,
    output_dir: Path,
    cached_models: frozenset[str] = frozenset(),
) -> Facts:
    """Look at the disk and the model of `config`. `output_dir` is where the run folder will be made."""
    return Facts(
        model=_model_facts(Path(config.model.base_model)),
        data=data,
        free_disk_bytes=shutil.disk_usage(_existing(output_dir)).free,
        cached_models=cached_models,
    )


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
