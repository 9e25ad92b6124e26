"""A run's results as a grid: by the kind of place and by format, each the address where it is, or none."""

from collections.abc import Mapping, Sequence
from typing import Any

from db.models import Artifact, Job
from db.states import JobState

_FORMATS = {"file": ("adapter", "merged", "gguf"), "raw": ("adapter", "merged"), "hf": ("adapter", "merged", "gguf")}


def artifact_grid(
    run: Sequence[Artifact], exports: Sequence[tuple[Job, Sequence[Artifact]]]
) -> dict[str, dict[str, str | None]]:
    """`file`: zips to download. `raw`: folders in buckets or of this machine. `hf`: repositories of the Hub.

    `exports` are those of the run with their results, the newest first; only completed ones count.
    """
    grid: dict[str, dict[str, str | None]] = {place: dict.fromkeys(formats) for place, formats in _FORMATS.items()}
    whole = [(job, artifacts) for job, artifacts in exports if job.state == JobState.COMPLETED]
    made = [*run, *(artifact for _, artifacts in whole for artifact in artifacts)]
    for artifact in made:
        _fill(grid["file"], artifact.kind, f"/api/artifacts/{artifact.id}/download")
    for job, _ in whole:
        delivered: Mapping[str, str] = job.facts.get("delivered", {})
        for destination, address in delivered.items():
            place = "hf" if destination.startswith("hf://") else "raw"
            for format_name in job.config.formats:
                _fill(grid[place], format_name, address)
    return grid


def _fill(row: dict[str, str | None], format_name: str, address: str) -> None:
    if format_name in row and row[format_name] is None:
        row[format_name] = address


def latest_export(exports: Sequence[tuple[Job, Sequence[Artifact]]], view: Any) -> dict[str, Any] | None:
    """The newest export as the clients of the first release know it; None where there is none."""
    if not exports:
        return None
    job, artifacts = exports[0]
    return {**view(job), "artifacts": [_known(artifact) for artifact in artifacts]}


def _known(artifact: Artifact) -> dict[str, str]:
    return {"type": artifact.kind, "path": f"/api/artifacts/{artifact.id}/download", "variant": "file"}
