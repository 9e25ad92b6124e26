"""What people take from an export: the folder of a model, of an adapter or of a graph, and each GGUF file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.exporters.layout import folder_of
from pipeline.exporters.usage_place import FileFormat
from pipeline.run_dir import ManifestArtifact

_FOLDERS: dict[str, FileFormat] = {"adapter": "adapter", "merged": "merged", "onnx": "onnx"}
_NUMBERS = {"adapter": "as trained", "merged": "bf16", "onnx": "fp32"}
_NUMBER_FORMAT = re.compile(r"-([a-z0-9_]+)\.gguf$")


@dataclass(frozen=True)
class ExportedFile:
    """One of them: `path` in the run folder or at a destination, `.` for its top; `name` is that of its report."""

    name: str
    path: str
    format: FileFormat
    number_format: str
    size_bytes: int


def exported_files(artifacts: Sequence[ManifestArtifact], *, at_destination: bool) -> Iterator[ExportedFile]:
    """What the results hold, with its path at a destination, or where it lies in the run folder."""
    kinds = [artifact.kind for artifact in artifacts]
    for artifact in artifacts:
        folder = folder_of(artifact.kind, kinds) if at_destination else artifact.path
        if artifact.kind in _FOLDERS:
            kind = _FOLDERS[artifact.kind]
            yield ExportedFile(artifact.kind, folder, kind, _NUMBERS[kind], artifact.size_bytes)
            continue
        for file in artifact.files:
            name = PurePosixPath(file.path).name
            found = _NUMBER_FORMAT.search(name)
            if found is None:
                continue
            is_adapter = artifact.kind == "gguf_adapter"
            kind = "gguf_adapter" if is_adapter else "mmproj" if "-mmproj-" in name else "gguf"
            yield ExportedFile(name, str(PurePosixPath(folder, name)), kind, found[1], file.size_bytes)
