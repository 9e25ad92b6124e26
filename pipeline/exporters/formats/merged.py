"""The adapter in the weights of its base model: safetensors in 16 bits, for transformers, vLLM and TGI."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from pipeline.errors import InvalidConfig, Problem
from pipeline.exporters.formats import Candidate
from pipeline.exporters.gate import Gate
from pipeline.exporters.order import ExportOrder, Report, part_of


def require() -> None:
    """Nothing."""


def needed_bytes(size_bytes: int, quantizations: tuple[str, ...]) -> int:
    """As much as the base model."""
    return size_bytes


def make(order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
    """The folder of a model. Raises InvalidConfig for a full fine-tune, which is one."""
    if order.source.whole is not None:
        told = "A full fine-tune already is a whole model, saved by the run. Choose gguf or onnx to make files of it."
        raise InvalidConfig([Problem("formats", told)])
    order.merge_into(folder, part_of(report, 0.0, 0.4))
    yield Candidate("merged", "bf16", lambda: nullcontext(gate.whole(folder)))
