"""What a method is: the function that builds its trainer, in a module named after its kind."""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import Trainer, TrainerCallback

    from pipeline.config import FineTuneJobConfig
    from pipeline.data_manager import PreparedData
    from pipeline.model_manager import LoadedModel


class Method(Protocol):
    """A way to train."""

    def build_trainer(
        self,
        config: "FineTuneJobConfig",
        loaded: "LoadedModel",
        *,
        data: "PreparedData",
        output_dir: "Path",
        callbacks: "Sequence[TrainerCallback]",
    ) -> "Trainer":
        """The trainer for this configuration, which writes its checkpoints below `output_dir`."""


def method_for(kind: str) -> Method:
    """The method in the module of this name."""
    return cast(Method, import_module(f"pipeline.methods.{kind}"))
