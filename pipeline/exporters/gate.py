"""The gate that every file of an export passes: what the trained model says, asked once, and each file against it."""

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from transformers import AutoConfig

from pipeline.errors import ModelUnavailable
from pipeline.exporters.parity import ParityReport, Speaker, Statements, ask, compare
from pipeline.exporters.source import ExportSource
from pipeline.exporters.trained_model import TrainedModel

# The run's own questions that are asked, after those that every file is asked.
_QUESTIONS = 8
# Of the weights, for what is computed with them.
_ROOM = 1.15


class Gate:
    """What the trained model said, and what files are asked to say the same. The model is read when the first file is
    judged, and not kept."""

    def __init__(self, base: Path, source: ExportSource) -> None:
        self._base = base
        self._source = source
        self._questions: Sequence[str] = source.questions[:_QUESTIONS]
        trust = source.base.trust_remote_code
        self._vocabulary = AutoConfig.from_pretrained(base, trust_remote_code=trust).get_text_config().vocab_size
        self._expected: Statements | None = None
        self._is_rounded = False

    def ask_trained_model(self) -> None:
        """Ask the trained model, unless it was asked before. Raises ModelUnavailable where memory is too small."""
        if self._expected is None:
            self._is_rounded = comparing_dtype(self._base) != torch.float32
            self._expected = self._asked(self.trained(self._source.adapter))

    def trained(self, adapter: Path | None) -> TrainedModel:
        """The base model with an adapter, in the most exact numbers that memory allows."""
        trust = self._source.base.trust_remote_code
        return TrainedModel.read(
            self._base, adapter=adapter, dtype=comparing_dtype(self._base), trust_remote_code=trust
        )

    def whole(self, folder: Path) -> TrainedModel:
        """The model in `folder`."""
        return TrainedModel.read(folder, dtype=comparing_dtype(folder))

    def judge(self, file: Speaker, *, number_format: str) -> ParityReport:
        """The file against the trained model."""
        self.ask_trained_model()
        if self._expected is None:
            raise ValueError("the trained model said nothing")
        return compare(
            self._asked(file),
            self._expected,
            number_format=number_format,
            questions=self._questions,
            is_rounded=self._is_rounded,
        )

    def _asked(self, model: Speaker) -> Statements:
        return ask(model, vocabulary=self._vocabulary, questions=self._questions)


def comparing_dtype(folder: Path) -> torch.dtype:
    """fp32 where this machine's memory holds the model in it, else bf16.

    Raises:
        ModelUnavailable: it holds neither, so that nothing could be proven.
    """
    numbers = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2
    free = psutil.virtual_memory().available
    for dtype in (torch.float32, torch.bfloat16):
        if numbers * dtype.itemsize * _ROOM <= free:
            return dtype
    raise ModelUnavailable(
        f"Files are proven against the trained model, which takes {numbers * 2 * _ROOM / 1e9:,.1f} GB of memory, and "
        f"{free / 1e9:,.1f} GB are free. Close other programs, or export on a machine with more memory."
    )
