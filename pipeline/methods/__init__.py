"""What a method is: how it encodes rows and which trainer it builds, in a module named after its kind."""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import Trainer, TrainerCallback

    from pipeline.config import FineTuneJobConfig
    from pipeline.data.example import Example
    from pipeline.data_manager import PreparedData
    from pipeline.events import RowDropped
    from pipeline.model_manager import LoadedModel


class EncodedRow(Protocol):
    """A row as token ids, whatever a method makes of it."""

    @property
    def row(self) -> int:
        """Its 1-based number in the data set."""

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, over all its sequences."""

    @property
    def length(self) -> int:
        """Tokens of its longest sequence."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss."""

    def cut(self, max_length: int) -> "Sequence[Self]":
        """What is trained on of it when no sequence may be longer: itself, shorter, in pieces, or nothing.

        Raises:
            UnusableRow: nothing is, for a reason of its own.
        """


class Encoder(Protocol):
    """Makes rows of examples."""

    def encode(
        self, examples: "Sequence[Example]", *, on_dropped: "Callable[[RowDropped], None]"
    ) -> "Sequence[EncodedRow]":
        """The rows in their order; examples that cannot be encoded go to `on_dropped` with the reason."""


class Method(Protocol):
    """A way to train."""

    def encoder(self, config: "FineTuneJobConfig", loaded: "LoadedModel") -> Encoder:
        """What turns this method's examples into rows.

        Raises:
            ModelUnavailable: the model's chat template is needed and cannot be used.
        """

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
