"""The REST door to data sets: the registry, their rows, and the imports that bring them in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Body, HTTPException, Query, Request
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from db.models import Dataset, Job
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import FLAGS_FILE
from pipeline.errors import DataProblem, InvalidConfig, Problem, StorageFailed
from studio import views
from studio.datasets import compatibility
from studio.service import Studio

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


def add_dataset_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/datasets` and `/transfers`."""
    _add_registry_routes(router, studio, owner_of)
    _add_row_routes(router, studio, owner_of)
    _add_transfer_routes(router, studio, owner_of)


def _add_registry_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    registry = studio.registry

    @router.get("/datasets")
    def list_datasets(
        search: str = "",
        q: str = "",
        modality: str | None = None,
        tag: str | None = None,
        compatible_with_model: str | None = None,
        limit: Limit = 50,
        offset: Offset = 0,
        owner: str = owner_of,
    ) -> dict[str, Any]:
        """Data sets, the newest first; with a model, each says whether the model can be trained on it."""
        wanted = "multimodal" if modality == "vision" else modality
        found, total = registry.datasets(
            owner=owner, search=search or q, modality=wanted, tag=tag, limit=limit, offset=offset
        )
        shown = [_with_compatibility(dataset, studio, compatible_with_model) for dataset in found]
        return {"datasets": shown, "total": total, "limit": limit, "offset": offset}

    @router.post("/datasets", status_code=202)
    def import_dataset(body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Queue an import from a path, a Hub id or an address; the answer is the transfer."""
        return views.transfer_view(registry.import_source(body, owner=owner))

    @router.post("/datasets/upload", status_code=202)
    async def upload(request: Request, name: str, description: str = "", owner: str = owner_of) -> dict[str, Any]:
        """Take a file as the body of the request, piece by piece to disk, and queue its import."""
        file = studio.settings.temporary / f"upload-{uuid4().hex}"
        try:
            await _receive(request.stream(), file, limit=studio.settings.max_upload_bytes)
            job = await run_in_threadpool(registry.import_upload, file, name=name, owner=owner, description=description)
        finally:
            file.unlink(missing_ok=True)
        return views.transfer_view(job)

    @router.get("/datasets/{identifier}")
    def get_dataset(identifier: str, compatible_with_model: str | None = None, owner: str = owner_of) -> dict[str, Any]:
        dataset = registry.dataset(identifier, owner=owner)
        used = [_named(job) for job in registry.used_by(identifier, owner=owner)]
        return {**_with_compatibility(dataset, studio, compatible_with_model), "used_by": used}

    @router.patch("/datasets/{identifier}")
    def describe(identifier: str, body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Change the description or the tags."""
        unknown = [key for key in body if key not in ("description", "tags")]
        if unknown:
            raise InvalidConfig([Problem(key, "cannot be changed. Only description and tags can.") for key in unknown])
        dataset = registry.describe(identifier, owner=owner, description=body.get("description"), tags=body.get("tags"))
        return views.dataset_view(dataset)

    @router.delete("/datasets/{identifier}")
    def delete(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        """Forget a data set and its files; the runs that used it keep their results."""
        used = registry.delete(identifier, owner=owner)
        return {
            "id": identifier,
            "deleted": True,
            "used_by": [_named(job) for job in used],
        }

    def _with_compatibility(dataset: Dataset, studio: Studio, model: str | None) -> dict[str, Any]:
        shown = views.dataset_view(dataset)
        if model is None:
            return shown
        return {**shown, "compatibility": compatibility(dataset, studio.model_traits(model))}


def _add_row_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    registry = studio.registry

    @router.get("/datasets/{identifier}/preview")
    def preview(
        identifier: str, offset: Offset = 0, limit: Annotated[int, Query(ge=1, le=200)] = 20, owner: str = owner_of
    ) -> dict[str, Any]:
        """Rows as stored, and the examples they become."""
        dataset = registry.dataset(identifier, owner=owner)
        return registry.databench.page(dataset.path, offset=offset, limit=limit) | {"limit": limit, "offset": offset}

    @router.get("/datasets/{identifier}/rows/{row}/tokens")
    def tokens(
        identifier: str,
        row: int,
        base_model: str,
        train_on: str = "assistant",
        max_length: int | None = None,
        owner: str = owner_of,
    ) -> dict[str, Any]:
        """One row as the trainer sees it: each token with its id and what becomes of it."""
        dataset = registry.dataset(identifier, owner=owner)
        sequences = registry.tokens(
            dataset, row=row, base_model=base_model, train_on=train_on, max_length=max_length, owner=owner
        )
        return {"row": row, "sequences": sequences}

    @router.post("/datasets/{identifier}/mapping")
    def remap(identifier: str, body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Say by hand which column is what; the rows are checked anew."""
        try:
            mapping = Mapping.model_validate(body)
        except ValidationError as error:
            problems = [Problem(".".join(map(str, detail["loc"])), detail["msg"]) for detail in error.errors()]
            raise InvalidConfig(problems) from error
        return views.dataset_view(registry.remap(identifier, mapping, owner=owner, progress=lambda share, what: None))

    @router.get("/datasets/{identifier}/flags", response_model=None)
    def flags(identifier: str, owner: str = owner_of) -> FileResponse:
        """Every row that a check had something to say about, one JSON line each."""
        dataset = registry.dataset(identifier, owner=owner)
        file = Path(dataset.path) / FLAGS_FILE
        if not file.exists():
            raise HTTPException(404, f"{dataset.name} was never checked, so no rows are listed.")
        return FileResponse(file, media_type="application/jsonl", filename=f"{dataset.name}-flagged-rows.jsonl")

    @router.get("/datasets/{identifier}/cleaned", response_model=None)
    def cleaned(identifier: str, drop: str, owner: str = owner_of) -> FileResponse:
        """The rows without those of the findings named in `drop`, separated by commas."""
        dataset = registry.dataset(identifier, owner=owner)
        codes = [code.strip() for code in drop.split(",") if code.strip()]
        file = registry.cleaned_copy(identifier, owner=owner, drop=codes)
        name = f"{dataset.name}-cleaned{file.suffix}"
        kind = "application/zip" if file.suffix == ".zip" else "application/jsonl"
        return FileResponse(file, media_type=kind, filename=name, background=BackgroundTask(file.unlink))


def _add_transfer_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    registry = studio.registry

    @router.get("/transfers")
    def list_transfers(limit: Limit = 50, offset: Offset = 0, owner: str = owner_of) -> dict[str, Any]:
        found, total = registry.transfers(owner=owner, limit=limit, offset=offset)
        return {"transfers": list(map(views.transfer_view, found)), "total": total, "limit": limit, "offset": offset}

    @router.get("/transfers/{identifier}")
    def get_transfer(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return views.transfer_view(registry.transfer(identifier, owner=owner))

    @router.post("/transfers/{identifier}/cancel")
    def cancel(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        known = registry.transfer(identifier, owner=owner)
        return views.transfer_view(studio.cancel(known.id, owner=owner))

    @router.post("/transfers/{identifier}/retry")
    def retry(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return views.transfer_view(registry.retry(identifier, owner=owner))


async def _receive(pieces: AsyncIterator[bytes], target: Path, *, limit: int) -> None:
    """Write a request's body to a file. Raises DataProblem past `limit` bytes, StorageFailed on a full disk."""
    size = 0
    try:
        with target.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise DataProblem(f"The file is larger than {limit / 1e6:,.0f} MB. Give its path on this machine.")
                file.write(piece)
    except OSError as error:
        cure = "Free some space and try again."
        raise StorageFailed(f"The file could not be stored: {error.strerror}. {cure}") from error


def _named(job: Job) -> dict[str, str]:
    return {"job_id": job.job_id, "name": job.name}
