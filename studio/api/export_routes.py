"""The REST door to exports: start one, follow it, try it again, and find its files."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import FileResponse, StreamingResponse

from db.jobs import NotFound
from db.models import Job
from studio.api.archive import zip_folder
from studio.export_view import export_view, file_of
from studio.service import Studio

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


def add_export_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/exports`, and those of the files."""

    def shown(job: Job) -> dict[str, Any]:
        return export_view(job, studio.artifacts(job), studio.run_dir(job))

    @router.get("/exports")
    def list_exports(
        job_id: str | None = None, limit: Limit = 100, offset: Offset = 0, owner: str = owner_of
    ) -> dict[str, Any]:
        """Exports, the newest first; with `job_id`, those of one run."""
        found, total = studio.exports.list(owner=owner, run=job_id, limit=limit, offset=offset)
        return {"exports": [shown(job) for job in found], "total": total, "limit": limit, "offset": offset}

    @router.post("/exports", status_code=202)
    def create_export(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Queue an export of the run `job_id`, or of the adapter in the folder `source`."""
        settings = {name: value for name, value in body.items() if name != "job_id"}
        run = None if body.get("job_id") is None else str(body["job_id"])
        return shown(studio.exports.start(run, settings, owner=owner))

    @router.get("/exports/{identifier}")
    def get_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return shown(studio.exports.job(identifier, owner=owner))

    @router.post("/exports/{identifier}/cancel")
    def cancel_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        studio.exports.job(identifier, owner=owner)
        return shown(studio.cancel(identifier, owner=owner))

    @router.post("/exports/{identifier}/retry")
    def retry_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return shown(studio.exports.retry(identifier, owner=owner))

    @router.get("/jobs/{identifier}/checkpoints")
    def list_checkpoints(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return {"steps": studio.exports.checkpoints(studio.job(identifier, owner=owner))}

    @router.get("/artifacts/{identifier}/download", response_model=None)
    def download(identifier: str, owner: str = owner_of) -> StreamingResponse:
        """All files of a result as one zip, made while it is sent."""
        job, artifact = studio.artifact(identifier, owner=owner)
        folder = studio.run_dir(job).path / artifact.path
        name = f"{job.name}-{artifact.kind}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(zip_folder(folder), media_type="application/zip", headers=headers)

    @router.get("/artifacts/{identifier}/files/{name:path}", response_model=None)
    def download_file(identifier: str, name: str, owner: str = owner_of) -> FileResponse:
        """One file of a result, or the range of it that is asked for."""
        job, artifact = studio.artifact(identifier, owner=owner)
        file = file_of(artifact, studio.run_dir(job), name)
        if file is None:
            raise NotFound(f"This result has no file {name!r}.")
        return FileResponse(file, media_type="application/octet-stream", filename=file.name)
