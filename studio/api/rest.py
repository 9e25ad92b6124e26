"""The REST door: JSON under /api, and GET /health."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request, Response
from starlette.routing import BaseRoute

from db import jobs as job_records
from studio import views
from studio.api.augment_routes import add_augment_routes
from studio.api.dataset_routes import add_dataset_routes
from studio.api.errors import SentenceRoute
from studio.api.experiment_routes import add_experiment_routes
from studio.api.export_routes import add_export_routes
from studio.api.recipe_routes import add_recipe_routes
from studio.api.reproduce_routes import add_reproduce_routes
from studio.api.root_routes import add_root_routes
from studio.api.secret_routes import add_secret_routes
from studio.api.smoke_routes import add_smoke_routes
from studio.auth import Authenticator
from studio.run_answers import answers_of
from studio.service import Studio

HEALTH = {"status": "healthy", "service": "studio", "services": ["training", "export"]}
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


def build_routes(studio: Studio, authenticator: Authenticator) -> list[BaseRoute]:
    """Every REST route, to be placed before Gradio's own."""

    def caller(request: Request) -> str:
        owner = authenticator.identify(request)
        if owner is None:
            raise HTTPException(401, "Sign in first: open the address with ?token=… that the studio printed.")
        return owner

    open_door = APIRouter(route_class=SentenceRoute)
    open_door.add_api_route("/health", lambda: HEALTH, methods=["GET"])
    root = APIRouter(route_class=SentenceRoute)
    router = APIRouter(prefix="/api", route_class=SentenceRoute)
    owner_of = Depends(caller)
    _add_job_routes(router, studio, owner_of)
    _add_activity_routes(router, studio, owner_of)

    add_dataset_routes(router, studio, owner_of)
    add_augment_routes(router, studio, owner_of)
    add_export_routes(router, studio, owner_of)
    add_reproduce_routes(router, studio, owner_of)
    add_root_routes(root, studio, owner_of)
    add_recipe_routes(router, studio, owner_of)
    add_experiment_routes(router, studio, owner_of)
    add_smoke_routes(router, studio, owner_of)
    add_secret_routes(router, studio.keys, owner_of)
    return [*open_door.routes, *router.routes, *root.routes]


def _add_job_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    @router.get("/jobs", response_model=None)
    def list_jobs(
        limit: Limit = 100, offset: Offset = 0, version: str | None = None, owner: str = owner_of
    ) -> dict[str, Any] | Response:
        """Runs, the newest first; 204 when `version` says that the caller has seen them so."""
        found, total = studio.jobs(owner=owner, limit=limit, offset=offset)
        current = f"{total}-{sum(job.revision for job in found)}"
        if current == version:
            return Response(status_code=204)
        shown = [views.job_view(job, studio.catalog) for job in found]
        return {"jobs": shown, "total": total, "limit": limit, "offset": offset, "version": current}

    @router.post("/jobs", status_code=201)
    def create_job(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        return views.job_view(studio.submit(body, owner=owner), studio.catalog)

    @router.get("/jobs/{identifier}")
    def get_job(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        job = studio.job(identifier, owner=owner)
        detail = views.job_detail(job, studio.catalog, studio.artifacts(job))
        return {**detail, "config": job.config.model_dump(mode="json")}

    @router.post("/jobs/{identifier}/cancel")
    def cancel_job(identifier: str, keep: bool = False, owner: str = owner_of) -> dict[str, Any]:
        return views.job_view(studio.cancel(identifier, owner=owner, keep=keep), studio.catalog)

    @router.get("/jobs/{identifier}/metrics")
    def job_metrics(identifier: str, since: Offset = 0, owner: str = owner_of) -> dict[str, Any]:
        job = studio.job(identifier, owner=owner)
        with studio.database.read() as session:
            rows = job_records.metrics_since(session, job, since=since)
        return {"series": views.metric_rows(rows), "cursor": rows[-1].id if rows else since}

    @router.get("/jobs/{identifier}/logs")
    def job_log(identifier: str, offset: Annotated[int, Query(ge=-1)] = 0, owner: str = owner_of) -> dict[str, Any]:
        text, end = studio.log(studio.job(identifier, owner=owner), offset=offset)
        return {"text": text, "offset": end}

    @router.get("/jobs/{identifier}/answers")
    def job_answers(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return answers_of(studio.run_dir(studio.job(identifier, owner=owner)))

    @router.get("/jobs/{identifier}/events")
    def job_history(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        job = studio.job(identifier, owner=owner)
        with studio.database.read() as session:
            rows = job_records.transitions_of(session, job)
        return {"events": [{**row, "at": views.iso(row["at"])} for row in rows]}

    @router.get("/jobs/{identifier}/live", response_model=None)
    def job_live(
        identifier: str,
        revision: Offset = 0,
        since: Offset = 0,
        log: Annotated[int, Query(ge=-1)] = -1,
        owner: str = owner_of,
    ) -> dict[str, Any] | Response:
        """All that changed since the caller last asked, or 204."""
        job = studio.job(identifier, owner=owner)
        text, end = studio.log(job, offset=log)
        if job.revision == revision and not text:
            return Response(status_code=204)
        with studio.database.read() as session:
            rows = job_records.metrics_since(session, job, since=since)
        return {
            "job": views.job_view(job, studio.catalog),
            "artifacts": [views.artifact_view(artifact) for artifact in studio.artifacts(job)],
            "series": views.metric_rows(rows),
            "since": rows[-1].id if rows else since,
            "log": text,
            "log_offset": end,
        }


def _add_activity_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    @router.get("/activity")
    def list_activity(
        limit: Limit = 100, offset: Offset = 0, unread_only: bool = False, owner: str = owner_of
    ) -> dict[str, Any]:
        entries, total, unread = studio.activity(owner=owner, limit=limit, offset=offset, unread_only=unread_only)
        shown = [views.activity_view(entry) for entry in entries]
        return {"activities": shown, "total": total, "unread": unread, "limit": limit, "offset": offset}

    @router.post("/activity/{identifier}/mark-read")
    def mark_read(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        if not any(entry.id == identifier for entry in studio.activity(owner=owner, limit=1000)[0]):
            raise job_records.NotFound(f"There is no activity with the id {identifier!r}.")
        studio.mark_read(owner=owner, entry=identifier)
        return {"id": identifier, "read": True}

    @router.post("/activity/mark-all-read")
    def mark_all_read(owner: str = owner_of) -> dict[str, int]:
        return {"marked_read": studio.mark_read(owner=owner)}
