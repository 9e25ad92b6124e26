"""The desk at which generated rows are reviewed: requests of the pages about a review folder, and their answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.augment.merge import merge_rows
from pipeline.augment.outcome import Status
from pipeline.augment.review import ReviewFolder
from pipeline.data.example import Row
from pipeline.data.row_store import RowStore


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str | int
    review: Path = Field(description="The folder of the generated rows.")


class ReviewRowsRequest(_Request):
    """Some generated rows, and how many there are of each status."""

    op: Literal["review_rows"]
    status: Status | None = None
    offset: int = Field(0, ge=0)
    limit: int = Field(20, ge=1, le=200)


class DecideRequest(_Request):
    """Accept rows, reject them, or take decisions back. Without ids, all that wait for a decision."""

    op: Literal["review_decide"]
    rows: tuple[str, ...] | None
    status: Literal["proposed", "accepted", "rejected"]


class EditRequest(_Request):
    """Accept one row in other words."""

    op: Literal["review_edit"]
    row: str
    edited: Row


class MergeRequest(_Request):
    """A file of a data set's rows with those that were accepted."""

    op: Literal["merge_rows"]
    folder: Path
    target: Path


ReviewRequest = ReviewRowsRequest | DecideRequest | EditRequest | MergeRequest


def answer_review(request: ReviewRequest, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """The content of the last message. Raises DataProblem."""
    review = ReviewFolder(request.review)
    match request:
        case ReviewRowsRequest():
            return _rows(request, review)
        case DecideRequest():
            chosen = request.rows
            if chosen is None:
                chosen = tuple(row.id for row in review.rows(status="proposed"))
            review.decide(chosen, request.status)
            return {"decided": len(chosen)}
        case EditRequest():
            review.edit(request.row, request.edited)
            return {"edited": request.row}
        case MergeRequest():
            progress(0.0, "Writing the rows")
            merged = merge_rows(RowStore(request.folder), review, target=request.target)
            mapping = merged.mapping.model_dump(mode="json")
            return {"kept": merged.kept, "added": merged.added, "left_out": merged.left_out, "mapping": mapping}


def _rows(request: ReviewRowsRequest, review: ReviewFolder) -> dict[str, Any]:
    page = review.page(status=request.status, offset=request.offset, limit=request.limit)
    return {
        "rows": [{**row.model_dump(mode="json"), "from": str(row.made_from)} for row in page.rows],
        "total": page.total,
        "counts": {**page.counts.model_dump(mode="json"), "generated": page.counts.generated},
    }
