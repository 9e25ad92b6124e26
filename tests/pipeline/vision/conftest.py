"""A tiny model that sees images, and pictures for it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor, ProcessorMixin

from pipeline.config import FineTuneJobConfig
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.vision.squares import write_squares, write_zip
from tests.tiny_gemma import build_tiny_multimodal


@pytest.fixture(scope="session")
def tiny_seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model of the Gemma 3 architecture that sees images."""
    return build_tiny_multimodal(tmp_path_factory.mktemp("tiny_seeing"))


@pytest.fixture
def processor(tiny_seeing: Path) -> ProcessorMixin:
    """Its processor; a test may change it."""
    return AutoProcessor.from_pretrained(tiny_seeing)


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 24 coloured squares with the names of their colours."""
    folder = tmp_path_factory.mktemp("squares")
    return write_zip(folder / "squares.zip", write_squares(folder / "pictures", 24), folder / "pictures")


@pytest.fixture
def make_image_config(make_config: MakeConfig, tiny_seeing: Path, squares: Path) -> MakeConfig:
    """`make_config` for the model that sees and the squares."""

    def make(**sections: dict[str, Any]) -> FineTuneJobConfig:
        model = {"base_model": str(tiny_seeing), **sections.pop("model", {})}
        dataset = {"path": str(squares), **sections.pop("dataset", {})}
        return make_config(model=model, dataset=dataset, **sections)

    return make
