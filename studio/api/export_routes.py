"""The REST door to exports: start one, follow it, and find its files."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from db.models import Job
from pipeline.errors import InvalidConfig, Problem
from studio.export_view import export_view
from studio.service import Studio

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


def add_export_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/exports`, and that of a run that starts one."""

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
        """Queue an export of the run `job_id`: `formats`, `quantizations`, `checkpoint`."""
        if "job_id" not in body:
            raise InvalidConfig([Problem("job_id", "is missing. Name the run to export.")])
        settings = {name: value for name, value in body.items() if name != "job_id"}
        return shown(studio.exports.start(str(body["job_id"]), settings, owner=owner))

    @router.get("/exports/{identifier}")
    def get_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return shown(studio.exports.job(identifier, owner=owner))

    @router.post("/exports/{identifier}/cancel")
    def cancel_export(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        studio.exports.job(identifier, owner=owner)
        return shown(studio.cancel(identifier, owner=owner))
