"""What the doors show of an export: where it stands, its files, where they went, and what came of comparing them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from db.columns import utc_now
from db.models import Artifact, Job
from db.states import JobState
from pipeline.exporters.exported_files import exported_files
from pipeline.exporters.usage import serve_commands
from pipeline.exporters.usage_models import read_adapter_facts
from pipeline.run_dir import RunDir
from studio.export_queue import EXPORTED
from studio.views import artifact_view, iso

_REPORT = "parity.json"
# Before that, what is behind says little of what is ahead.
_TELLING_PROGRESS = 0.05


def export_view(job: Job, artifacts: Sequence[Artifact], folder: RunDir) -> dict[str, Any]:
    """An export with its files, and the report of each file that was compared."""
    parity = _reports(folder.path, [artifact.kind for artifact in artifacts])
    return {
        "id": job.id,
        "export_id": job.job_id,
        "job_id": job.facts.get(EXPORTED),
        "name": job.name,
        "source": Path(job.config.source).name,
        "state": str(job.state),
        "stage": job.stage,
        "message": job.message,
        "progress": round(job.progress, 4),
        "eta_seconds": _eta_seconds(job),
        "formats": list(job.config.formats),
        "quantizations": list(job.config.quantizations),
        "destinations": list(job.config.destinations),
        "delivered": job.facts.get("delivered", {}),
        "private": job.config.private,
        "error": None if job.error_message is None else {"code": job.error_code, "message": job.error_message},
        "artifacts": [
            {**artifact_view(artifact), "files": list(_files(artifact, folder.path, parity))} for artifact in artifacts
        ],
        "parity": parity,
        "commands": _commands(job, folder) if job.state == JobState.COMPLETED else [],
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }


def _commands(job: Job, folder: RunDir) -> list[dict[str, str]]:
    """How to run the files: from the Hub where they were sent there, else from where they lie."""
    manifest = folder.read_manifest()
    if manifest is None:
        return []
    hub = next((place.removeprefix("hf://") for place in job.config.destinations if place.startswith("hf://")), None)
    config = folder.path / "adapter" / "adapter_config.json"
    commands = serve_commands(
        list(exported_files(manifest.artifacts, at_destination=hub is not None)),
        name=job.name,
        repo=hub,
        folder=str(folder.path),
        base_model=job.config.base_model,
        adapter=read_adapter_facts(config.parent) if config.exists() else None,
    )
    return [{"title": command.title, "language": command.language, "text": command.text} for command in commands]


def file_of(artifact: Artifact, folder: RunDir, name: str) -> Path | None:
    """The file of a result by its path inside it; None where there is none, or none of this result."""
    inside = (folder.path / artifact.path).resolve()
    file = (inside / name).resolve()
    return file if file.is_file() and file.is_relative_to(inside) else None


def _eta_seconds(job: Job) -> float | None:
    if job.state != JobState.RUNNING or job.started_at is None or job.progress < _TELLING_PROGRESS:
        return None
    elapsed = (utc_now() - job.started_at).total_seconds()
    return float(elapsed * (1 - job.progress) / job.progress)


def _files(artifact: Artifact, folder: Path, parity: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    inside = folder / artifact.path
    for file in sorted(inside.rglob("*")):
        if not file.is_file():
            continue
        name = file.relative_to(inside).as_posix()
        report = parity.get(file.name, parity.get(artifact.kind))
        yield {
            "name": name,
            "size_bytes": file.stat().st_size,
            "proven": None if report is None else all(check["passed"] for check in report["checks"]),
            "url": f"/api/artifacts/{artifact.id}/files/{quote(name)}",
        }


def _reports(folder: Path, kinds: Sequence[str]) -> Mapping[str, Any]:
    found = {}
    for kind in kinds:
        for file in sorted((folder / kind).glob(f"*{_REPORT}")):
            found[file.name.removesuffix(_REPORT).rstrip(".") or kind] = json.loads(file.read_text("utf-8"))
    return found
