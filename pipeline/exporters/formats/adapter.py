"""The adapter by itself, for PEFT and vLLM: its weights, its tokenizer and its template, without what trained it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from pipeline.errors import InvalidConfig, ModelUnavailable, Problem
from pipeline.exporters.formats import Candidate
from pipeline.exporters.gate import Gate
from pipeline.exporters.model_files import TOKENIZER_CONFIG, without_local_paths
from pipeline.exporters.order import ExportOrder, Report
from pipeline.exporters.source import ADAPTER_CONFIG

WEIGHTS_FILE = "adapter_model.safetensors"
# A checkpoint has more: the state of its optimizer, and the README that PEFT writes.
_TOKENIZER = ("tokenizer.json", TOKENIZER_CONFIG, "tokenizer.model", "special_tokens_map.json", "added_tokens.json")
_VOCABULARY = ("vocab.json", "merges.txt", "chat_template.jinja", "processor_config.json", "preprocessor_config.json")
_BASE_NAME = "base_model_name_or_path"


def require() -> None:
    """Nothing."""


def needed_bytes(size_bytes: int, quantizations: tuple[str, ...]) -> int:
    """Little; adapters of large vocabularies are a tenth of their model at most."""
    return size_bytes // 10


def make(order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
    """The folder of an adapter. Raises InvalidConfig for a full fine-tune, ModelUnavailable without safetensors."""
    adapter = order.source.adapter
    if adapter is None:
        raise InvalidConfig([Problem("formats", "A full fine-tune has no adapter. Choose gguf or onnx.")])
    if not (adapter / WEIGHTS_FILE).exists():
        raise ModelUnavailable(
            f"{adapter} has no {WEIGHTS_FILE}. Save the adapter as safetensors, which cannot hold code."
        )
    report("Copying the adapter", 0.0)
    shutil.copyfile(adapter / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    settings = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8"))
    if Path(str(settings.get(_BASE_NAME))).is_absolute():
        # A folder of this machine says nothing elsewhere.
        settings[_BASE_NAME] = None
    (folder / ADAPTER_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for name in (*_TOKENIZER, *_VOCABULARY):
        # A checkpoint and an adapter from elsewhere may come without the tokenizer, which is then the base's.
        source = next((place / name for place in (adapter, order.base) if (place / name).exists()), None)
        if source is not None:
            shutil.copyfile(source, folder / name)
    if (folder / TOKENIZER_CONFIG).exists():
        without_local_paths(folder / TOKENIZER_CONFIG)
    yield Candidate("adapter", "bf16", lambda: nullcontext(gate.trained(folder)))
