"""What the doors show of an augmentation: plain JSON types."""

from typing import Any

from db.models import Job
from pipeline.augment_job import PreviewDocument
from studio.views import iso


def augmentation_view(job: Job, preview: PreviewDocument | None = None) -> dict[str, Any]:
    """How far the making of rows is, what came of it, and for a preview, the rows before and after."""
    return {
        "id": job.id,
        "job_id": job.job_id,
        "name": job.name,
        "dataset_id": job.facts["augmented"],
        "method": job.config.augmentation.kind,
        "is_preview": job.config.preview,
        "augmentation": job.config.augmentation.model_dump(mode="json"),
        "seed": job.config.seed,
        "state": str(job.state),
        "stage": job.stage,
        "message": job.message,
        "progress": round(job.progress, 4),
        "counts": job.latest,
        "preview": None if preview is None else preview.model_dump(mode="json"),
        "error": None if job.error_message is None else {"code": job.error_code, "message": job.error_message},
        "attempt": job.attempt,
        "revision": job.revision,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }
