"""GGUF files of the whole model, one for each number format, with a Modelfile for Ollama and what sees pictures."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline.exporters.formats import Candidate
from pipeline.exporters.gate import Gate
from pipeline.exporters.gguf.convert import convert, quantize
from pipeline.exporters.gguf.modelfile import modelfile
from pipeline.exporters.gguf.runtime import GgufModel, served
from pipeline.exporters.gguf.tools import require_gguf
from pipeline.exporters.gguf.vision import check_pictures, convert_vision, has_vision
from pipeline.exporters.order import ExportOrder, Report, part_of
from pipeline.exporters.parity import ParityCheck, Speaker

WHOLE_TYPES = ("bf16", "f16")
# Bits a weight of a file, of 16: what each type takes at most where rows are no multiple of 256, as those of small
# Gemmas (their fallbacks in llama.cpp, src/llama-quant.cpp).
_SHARES = {"q8_0": 0.54, "q6_k": 0.54, "q5_k_m": 0.45, "q4_k_m": 0.42, "q3_k_m": 0.36, "q2_k": 0.36}


def require() -> None:
    """Raise GgufNotInstalled where a GGUF file could not be made, or not be tried."""
    require_gguf()


def needed_bytes(size_bytes: int, quantizations: tuple[str, ...]) -> int:
    """The files, the one in 16 bits that others are made of, and the merged model that it is made of."""
    whole = max(1, sum(kind in WHOLE_TYPES for kind in quantizations))
    return int(size_bytes * (1 + whole + sum(_SHARES.get(kind, 0.0) for kind in quantizations)))


def make(order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
    """A file for each number format. Raises GgufFailed with the last words of a program of llama.cpp."""
    kinds = order.quantizations
    model = order.whole(part_of(report, 0.0, 0.2))
    source = folder / f"{order.name}-bf16.gguf"
    if any(kind != "f16" for kind in kinds):
        report("Converting to GGUF", 0.2)
        convert(model, source, dtype="bf16")
    eyes = folder / f"{order.name}-mmproj-f16.gguf" if has_vision(model) else None
    if eyes is not None:
        convert_vision(model, eyes)
    for place, kind in enumerate(kinds):
        file = folder / f"{order.name}-{kind}.gguf"
        report(f"Writing {file.name}", 0.4 + 0.6 * place / len(kinds))
        if kind == "f16":
            convert(model, file, dtype="f16")
        elif kind != "bf16":
            quantize(source, file, kind)  # type: ignore[arg-type] - the document has no others
        file.with_suffix(".Modelfile").write_text(modelfile(model, file.name), encoding="utf-8")
        if eyes is None:
            yield Candidate(file.name, kind, partial(served, file))
        else:
            sees = partial(_sees_the_same, model=model, number_format=kind)
            yield Candidate(file.name, kind, partial(served, file, vision=eyes), sees)
    if "bf16" not in kinds:
        source.unlink(missing_ok=True)


def _sees_the_same(file: Speaker, *, model: Path, number_format: str) -> list[ParityCheck]:
    if not isinstance(file, GgufModel):
        raise TypeError("only a file that llama.cpp serves is asked about pictures")
    return [check_pictures(file, model, number_format=number_format)]
