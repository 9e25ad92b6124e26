"""The adapter as a GGUF file, to be put on a GGUF file of its base model by llama.cpp or Ollama."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.errors import InvalidConfig, Problem
from pipeline.exporters.formats import Candidate
from pipeline.exporters.gate import Gate
from pipeline.exporters.gguf.convert import convert
from pipeline.exporters.gguf.lora_adapter import convert_adapter
from pipeline.exporters.gguf.runtime import GgufModel, served
from pipeline.exporters.gguf.tools import require_gguf
from pipeline.exporters.model_files import TEMPLATE_FILE
from pipeline.exporters.order import ExportOrder, Report


def require() -> None:
    """Raise GgufNotInstalled where a GGUF file could not be made, or not be tried."""
    require_gguf()


def needed_bytes(size_bytes: int, quantizations: tuple[str, ...]) -> int:
    """The base model as GGUF, on which the adapter is tried, and the adapter."""
    return int(size_bytes * 1.1)


def make(order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
    """One file in 16 bits. Raises AdapterNotConvertible for what llama.cpp cannot put on a model, and GgufFailed."""
    adapter = order.source.adapter
    if adapter is None:
        raise InvalidConfig([Problem("formats", "A full fine-tune has no adapter. Choose gguf.")])
    report("Converting the adapter", 0.0)
    file = folder / f"{order.name}-lora-f16.gguf"
    convert_adapter(adapter, order.base, file, dtype="f16")
    report("Converting the base model, to try the adapter on", 0.2)
    order.work.mkdir(exist_ok=True)
    base = order.work / "base-bf16.gguf"
    template = adapter / TEMPLATE_FILE
    convert(order.base, base, dtype="bf16", template=template if template.exists() else None)

    def opened() -> AbstractContextManager[GgufModel]:
        return served(base, adapter=file)

    yield Candidate(file.name, "f16", opened)
    base.unlink()
