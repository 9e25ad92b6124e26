"""A tiny model, conversations for it, and run folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.config import FineTuneJobConfig
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.tiny_gemma import build_tiny_gemma, chat_rows, write_jsonl

MakeConfig = Callable[..., FineTuneJobConfig]


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model of the Gemma 3 architecture."""
    return build_tiny_gemma(tmp_path_factory.mktemp("tiny_gemma"))


@pytest.fixture
def tokenizer(tiny_gemma: Path) -> PreTrainedTokenizerBase:
    """Its tokenizer; a test may change it."""
    return AutoTokenizer.from_pretrained(tiny_gemma)


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 40 conversations."""
    return write_jsonl(tmp_path_factory.mktemp("data") / "chats.jsonl", chat_rows(40))


@pytest.fixture
def tracker(tmp_path: Path) -> JobTracker:
    """The tracker of an empty run folder."""
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    return JobTracker(run_dir)


@pytest.fixture
def make_config(tiny_gemma: Path, chats: Path) -> MakeConfig:
    """Makes a job document of two quick steps; keyword arguments are sections put over it."""

    def make(**sections: dict[str, Any]) -> FineTuneJobConfig:
        document: dict[str, Any] = {
            "model": {"base_model": str(tiny_gemma), "precision": "fp32"},
            "dataset": {"path": str(chats)},
            "training": {"max_steps": 2, "learning_rate": 0.01},
        }
        for name, values in sections.items():
            document[name] = {**document.get(name, {}), **values} if isinstance(values, dict) else values
        return parse_job_config(document)

    return make
