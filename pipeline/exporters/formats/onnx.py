"""The model as a graph for ONNX Runtime, without a cache of what it has read: experimental."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from pipeline.exporters.formats import Candidate
from pipeline.exporters.gate import Gate
from pipeline.exporters.onnx.convert import convert, require_onnx
from pipeline.exporters.onnx.runtime import OnnxModel
from pipeline.exporters.order import ExportOrder, Report, part_of


def require() -> None:
    """Raise OnnxNotInstalled where a graph could not be made, or not be tried."""
    require_onnx()


def needed_bytes(size_bytes: int, quantizations: tuple[str, ...]) -> int:
    """The graph in fp32, and the merged model that it is made of."""
    return 3 * size_bytes


def make(order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
    """A folder with the graph, its weights and its tokenizer. Raises OnnxFailed."""
    model = order.whole(part_of(report, 0.0, 0.2))
    report("Tracing the model", 0.2)
    convert(model, folder)
    # Its numbers are exact; its weights are those that were merged in bf16.
    yield Candidate("onnx", "bf16", lambda: nullcontext(OnnxModel(folder)))
