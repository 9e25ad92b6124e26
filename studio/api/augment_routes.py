"""The REST door to further rows: show ten, make all, review them, add what was accepted."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict

from pipeline.augment.outcome import Status
from studio.augmentation_view import augmentation_view
from studio.service import Studio
from studio.views import transfer_view

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0)]


class Decision(BaseModel):
    """What was decided about some rows, or all that wait."""

    model_config = ConfigDict(extra="forbid")
    ids: list[str] | Literal["all"]
    status: Literal["accepted", "rejected", "proposed"]


def add_augment_routes(router: APIRouter, studio: Studio, owner_of: Any) -> None:
    """Every route below `/augmentations`, and those of a data set that start one."""
    augmentations = studio.augmentations

    @router.post("/datasets/{identifier}/augment", status_code=202)
    def start(identifier: str, body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Queue the making of rows: `augmentation` and `seed`."""
        return augmentation_view(augmentations.start(identifier, body, owner=owner))

    @router.post("/datasets/{identifier}/augment/preview", status_code=202)
    def preview(identifier: str, body: Annotated[dict[str, Any], Body()], owner: str = owner_of) -> dict[str, Any]:
        """Queue ten rows to look at, and the estimate of what all would cost."""
        return augmentation_view(augmentations.preview(identifier, body, owner=owner))

    @router.get("/datasets/{identifier}/augmentations")
    def of_dataset(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return {"augmentations": [augmentation_view(job) for job in augmentations.of_dataset(identifier, owner=owner)]}

    @router.get("/augmentations/{identifier}")
    def get_augmentation(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        job = augmentations.job(identifier, owner=owner)
        return augmentation_view(job, augmentations.preview_of(job))

    @router.get("/augmentations/{identifier}/rows")
    def rows(
        identifier: str, status: Status | None = None, offset: Offset = 0, limit: Limit = 20, owner: str = owner_of
    ) -> dict[str, Any]:
        """Rows that were made, each with what it was made from and what was decided."""
        found = augmentations.rows(identifier, owner=owner, status=status, offset=offset, limit=limit)
        return {"rows": found["rows"], "total": found["total"], "counts": found["counts"]} | {
            "limit": limit,
            "offset": offset,
        }

    @router.post("/augmentations/{identifier}/decide")
    def decide(identifier: str, body: Decision, owner: str = owner_of) -> dict[str, Any]:
        ids = None if body.ids == "all" else body.ids
        return {"decided": augmentations.decide(identifier, ids, body.status, owner=owner)}

    @router.post("/augmentations/{identifier}/rows/{row}")
    def edit(
        identifier: str, row: str, body: Annotated[dict[str, Any], Body()], owner: str = owner_of
    ) -> dict[str, Any]:
        """Accept a row in other words; the body is the row as it shall be."""
        augmentations.edit(identifier, row, body, owner=owner)
        return {"id": row, "status": "edited"}

    @router.post("/augmentations/{identifier}/accept", status_code=202)
    def accept(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        """Add the accepted rows; the answer is the import of the next version."""
        return transfer_view(augmentations.accept(identifier, owner=owner))

    @router.post("/augmentations/{identifier}/cancel")
    def cancel(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        known = augmentations.job(identifier, owner=owner)
        return augmentation_view(studio.cancel(known.id, owner=owner))

    @router.post("/augmentations/{identifier}/retry")
    def retry(identifier: str, owner: str = owner_of) -> dict[str, Any]:
        return augmentation_view(augmentations.retry(identifier, owner=owner))
