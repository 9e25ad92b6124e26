"""Where each file of an export lies at a destination."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from pipeline.run_dir import ManifestArtifact, ManifestFile

# Files that programs look for at the root: those of one model or adapter; of GGUF files, many may lie there.
_ROOT_FIRST = ("merged", "adapter")
_ALWAYS_ROOT = ("gguf", "gguf_adapter", "card")


def places(artifacts: Sequence[ManifestArtifact]) -> dict[str, ManifestFile]:
    """Each file of the export by its path at a destination.

    The merged model lies at the root, else the adapter, so that the destination's address loads; other folders keep
    their names. GGUF files lie at the root, where Ollama and LM Studio look.
    """
    kinds = [artifact.kind for artifact in artifacts]
    found: dict[str, ManifestFile] = {}
    for artifact in artifacts:
        folder = PurePosixPath(folder_of(artifact.kind, kinds))
        for file in artifact.files:
            found[str(folder / PurePosixPath(file.path).relative_to(artifact.path))] = file
    return found


def folder_of(kind: str, kinds: Collection[str]) -> str:
    """The folder of a kind of result at a destination that gets `kinds`; `.` is its top."""
    at_root = next((first for first in _ROOT_FIRST if first in kinds), None)
    return "." if kind == at_root or kind in _ALWAYS_ROOT else kind
