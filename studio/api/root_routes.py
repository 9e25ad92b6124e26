"""Exports at the addresses of the first releases: POST /export, /exports, /jobs/{id}/export and what they answer."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import SecretStr
from starlette.responses import JSONResponse

from db.jobs import NotFound
from db.models import Artifact, Job
from db.states import RESTING, JobState
from pipeline.errors import InvalidConfig, Problem
from studio.export_dialect import export_settings
from studio.export_grid import artifact_grid, latest_export
from studio.service import Studio
from studio.views import iso

# As long as a client may be kept waiting for a small model; what takes longer is asked for again by its id.
_WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.2
_STATUS = {JobState.COMPLETED: "completed", JobState.FAILED: "failed", JobState.CANCELLED: "failed"}

Document = Annotated[dict[str, Any], Body()]


def add_root_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """The routes of exports at the root."""

    def start(job_id: str, body: dict[str, Any], owner: str) -> Job:
        run = studio.job(job_id, owner=owner)
        buckets = {"gcs": studio.settings.gcs_export_bucket, "s3": studio.settings.s3_export_bucket}
        settings = export_settings(body, job_id=run.job_id, buckets=buckets)
        if body.get("hf_token"):
            # As any other key: encrypted, and handed to the export's process only.
            studio.keys.save_secret("HF_TOKEN", SecretStr(str(body["hf_token"])), owner=owner)
        return studio.exports.start(run.job_id, settings, owner=owner)

    def acknowledged(job: Job) -> dict[str, Any]:
        return {
            "success": True,
            "message": f"Export job {job.job_id} started successfully",
            "export_id": job.job_id,
        }

    def exports_of(run: Job, owner: str) -> list[tuple[Job, list[Artifact]]]:
        found, _ = studio.exports.list(owner=owner, run=run.job_id, limit=1000)
        return [(job, list(studio.artifacts(job))) for job in found]

    @router.post("/export", response_model=None)
    def export_now(body: Document, owner: str = owner_of) -> dict[str, Any] | JSONResponse:
        """The result in one format: at once where it exists, else made; 202 where that takes longer than a moment."""
        run = studio.job(_job_id(body), owner=owner)
        kind = str(body.get("export_type", ""))
        grid = artifact_grid(studio.artifacts(run), exports_of(run, owner))
        if grid["file"].get(kind) is None:
            job = start(run.job_id, body, owner)
            ended = _wait(studio, job, owner)
            if ended.state == JobState.COMPLETED:
                grid = artifact_grid(studio.artifacts(run), exports_of(run, owner))
            elif ended.state in RESTING:
                raise InvalidConfig([Problem("", ended.error_message or f"The export was {ended.state}.")])
            else:
                return JSONResponse({**acknowledged(job), "job_id": run.job_id, "export_type": kind}, status_code=202)
        return {"success": True, "job_id": run.job_id, "export_type": kind, f"{kind}_path": grid["file"][kind]}

    @router.get("/exports")
    def exportable(owner: str = owner_of) -> list[dict[str, Any]]:
        """The caller's completed runs."""
        found, _ = studio.jobs(owner=owner, limit=1000)
        return [_run_view(studio, run, exports_of(run, owner)) for run in found if run.state == JobState.COMPLETED]

    @router.post("/exports")
    def export_later(body: Document, owner: str = owner_of) -> dict[str, Any]:
        return acknowledged(start(_job_id(body), body, owner))

    @router.post("/jobs/{identifier}/export")
    def export_of_job(identifier: str, body: Document, owner: str = owner_of) -> dict[str, Any]:
        return acknowledged(start(identifier, body, owner))

    @router.get("/exports/{identifier}")
    def job_with_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        """A run and its latest export, by the id of either."""
        try:
            run = studio.job(identifier, owner=owner)
        except NotFound:
            export = studio.exports.job(identifier, owner=owner)
            run = studio.job(export.facts["exported"], owner=owner)
        exports = exports_of(run, owner)
        view = _run_view(studio, run, exports)
        return {**view, "latest_export": latest_export(exports, lambda job: _export_view(job, run))}


def _job_id(body: dict[str, Any]) -> str:
    if not body.get("job_id"):
        raise InvalidConfig([Problem("job_id", "is missing. Name the run to export.")])
    return str(body["job_id"])


def _wait(studio: Studio, job: Job, owner: str) -> Job:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        job = studio.exports.job(job.job_id, owner=owner)
        if job.state in RESTING:
            break
        time.sleep(_LOOK_SECONDS)
    return job


def _run_view(studio: Studio, run: Job, exports: list[tuple[Job, list[Artifact]]]) -> dict[str, Any]:
    grid = artifact_grid(studio.artifacts(run), exports)
    known, _ = studio.registry.datasets(owner=run.owner)
    return {
        "job_id": run.job_id,
        "job_name": run.name,
        "user_id": run.owner,
        "status": str(run.state),
        "adapter_path": grid["file"]["adapter"],
        "base_model_id": run.training.model.base_model,
        "modality": next((dataset.modality for dataset in known if dataset.path == run.training.dataset.path), "text"),
        "artifacts": grid,
    }


def _export_view(job: Job, run: Job) -> dict[str, Any]:
    hub = [place.removeprefix("hf://") for place in job.config.destinations if place.startswith("hf://")]
    return {
        "export_id": job.job_id,
        "job_id": run.job_id,
        "type": job.config.formats[0],
        "destination": [_place(place) for place in job.config.destinations] or ["local"],
        "hf_repo_id": hub[0] if hub else None,
        "status": _STATUS.get(JobState(job.state), "running"),
        "message": job.error_message or job.message,
        "started_at": iso(job.created_at),
        "finished_at": iso(job.finished_at),
        "updated_at": iso(job.heartbeat_at or job.created_at),
    }


def _place(destination: str) -> str:
    return {"hf": "hf_hub", "gs": "gcs", "s3": "s3", "file": "local"}[destination.partition("://")[0]]
