"""What the doors show of an export: where it stands, its files, and what came of comparing them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.models import Artifact, Job
from pipeline.run_dir import RunDir
from studio.exports import EXPORTED
from studio.views import artifact_view, iso

_REPORTS = "*parity.json"


def export_view(job: Job, artifacts: Sequence[Artifact], folder: RunDir) -> dict[str, Any]:
    """An export with the files that were proven, and the report of each file that was compared."""
    return {
        "id": job.id,
        "export_id": job.job_id,
        "job_id": job.facts.get(EXPORTED),
        "state": str(job.state),
        "stage": job.stage,
        "message": job.message,
        "progress": round(job.progress, 4),
        "formats": list(job.config.formats),
        "quantizations": list(job.config.quantizations),
        "error": None if job.error_message is None else {"code": job.error_code, "message": job.error_message},
        "artifacts": [artifact_view(artifact) for artifact in artifacts],
        "parity": _reports(folder.path),
        "created_at": iso(job.created_at),
        "finished_at": iso(job.finished_at),
    }


def _reports(folder: Path) -> Mapping[str, Any]:
    found = {}
    for place in ("merged", "gguf"):
        for file in sorted((folder / place).glob(_REPORTS)):
            name = file.name.removesuffix(".parity.json") if place == "gguf" else place
            found[name] = json.loads(file.read_text("utf-8"))
    return found
