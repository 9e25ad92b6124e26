"""What the doors show of a record: plain JSON types, names as in the contract."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from db.models import Activity, Artifact, Dataset, Job, Metric
from db.states import JobState
from pipeline.estimate_history import ESTIMATE
from pipeline.method_config import METHOD_LABELS
from studio.catalog import Catalog
from studio.resource_view import resource_view


def job_view(job: Job, catalog: Catalog) -> dict[str, Any]:
    """A job for a list or the head of its page, without its estimate, which is long."""
    return {
        "id": job.id,
        "job_id": job.job_id,
        "name": job.name,
        "kind": job.kind,
        "state": str(job.state),
        "stage": job.stage,
        "message": job.message,
        "progress": round(job.progress, 4),
        "step": job.step,
        "total_steps": job.total_steps,
        "epoch": round(job.epoch, 3),
        "latest": job.latest,
        "facts": {name: fact for name, fact in job.facts.items() if name != ESTIMATE},
        "resources": resource_view(job.facts),
        "stopped_early": job.stopped_early,
        "error": None if job.error_message is None else {"code": job.error_code, "message": job.error_message},
        "base_model": job.training.model.base_model,
        "base_model_name": catalog.display_name(job.training.model.base_model),
        "dataset": job.training.dataset.path,
        "dataset_name": job.facts.get("dataset_name", ""),
        "tuning": job.training.tuning.kind,
        "method": METHOD_LABELS[job.training.method.kind],
        "answers": job.training.method.kind != "reward",
        "gpu": job.gpu,
        "attempt": job.attempt,
        "eta_seconds": eta_seconds(job),
        "revision": job.revision,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }


def job_detail(job: Job, catalog: Catalog, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """A job with its results and the estimate that it was submitted with; None where there was none."""
    shown = [artifact_view(artifact) for artifact in artifacts]
    return {**job_view(job, catalog), "artifacts": shown, "estimate": job.facts.get(ESTIMATE)}


def eta_seconds(job: Job) -> float | None:
    """Seconds until training ends, at the pace so far; None before the first step or when nothing runs."""
    if job.state != JobState.RUNNING or job.stage != "training" or job.step == 0 or "step_at" not in job.facts:
        return None
    elapsed = job.facts["step_at"] - job.facts["training_started_at"]
    return elapsed / job.step * (job.total_steps - job.step)


def metric_rows(metrics: Sequence[Metric]) -> dict[str, list[list[float]]]:
    """Values by name, each a list of [step, value] in the order they were logged."""
    series: dict[str, list[list[float]]] = {}
    for metric in metrics:
        series.setdefault(metric.name, []).append([metric.step, metric.value])
    return series


def artifact_view(artifact: Artifact) -> dict[str, Any]:
    """A result with its address for download. No key is called `path`: the Gradio client takes that for a file."""
    return {
        "id": artifact.id,
        "kind": artifact.kind,
        "folder": artifact.path,
        "size_bytes": artifact.size_bytes,
        "url": f"/api/artifacts/{artifact.id}/download",
        "created_at": iso(artifact.created_at),
    }


def activity_view(entry: Activity) -> dict[str, Any]:
    """An entry of the feed."""
    return {
        "id": entry.id,
        "event_type": entry.event_type,
        "entity_type": entry.entity_type,
        "entity_id": entry.entity_id,
        "title": entry.title,
        "message": entry.message,
        "status": entry.status,
        "user_id": entry.owner,
        "metadata": entry.details,
        "read": entry.read,
        "created_at": iso(entry.created_at),
    }


def dataset_view(dataset: Dataset) -> dict[str, Any]:
    """A data set of the registry. No key is called `path`: the Gradio client takes that for a file."""
    return {
        "id": dataset.id,
        "project_id": None,
        "name": dataset.name,
        "version": str(dataset.version),
        "description": dataset.description,
        "modality": dataset.modality,
        "format": dataset.format,
        "shape": dataset.shape,
        "confidence": dataset.confidence,
        "recognition": dataset.recognition,
        "columns": dataset.columns,
        "size_bytes": dataset.size_bytes,
        "num_samples": dataset.num_samples,
        "usable_samples": dataset.usable_samples,
        "unreadable_samples": dataset.unreadable_samples,
        "manifest_path": f"{dataset.path}/dataset.json",
        "storage_path": dataset.path,
        "checksum": dataset.checksum,
        "integrity_checked": dataset.integrity_checked,
        "integrity_passed": dataset.integrity_passed,
        "integrity_report": dataset.integrity_report,
        "statistics": {
            **dataset.integrity_report.get("statistics", {}),
            "splits": list(dataset.splits),
            "num_splits": len(dataset.splits),
            "rows_per_split": dataset.splits,
        },
        "tags": dataset.tags,
        "metadata": {"source": dataset.source, **dataset.details},
        "created_at": iso(dataset.created_at),
        "updated_at": iso(dataset.updated_at),
    }


def transfer_view(job: Job) -> dict[str, Any]:
    """An import: how far it is, at what rate, and what became of it."""
    moved = job.facts.get("transfer", {})
    done, total = moved.get("bytes_done", 0), moved.get("bytes_total")
    base = job.facts.get("transfer_base", moved)
    elapsed = moved["time"] - base["time"] if moved else 0.0
    rate = (done - base["bytes_done"]) / elapsed if elapsed > 0 else None
    left = (total - done) / rate if rate and total and job.state == JobState.RUNNING else None
    return {
        "id": job.id,
        "job_id": job.job_id,
        "name": job.name,
        "source": job.config.file_name or job.config.source,
        "state": str(job.state),
        "stage": job.stage,
        "message": job.message,
        "progress": round(job.progress, 4),
        "bytes_done": done,
        "bytes_total": total,
        "rows": job.facts.get("rows", moved.get("rows", 0)),
        "bytes_per_second": rate,
        "eta_seconds": left,
        "dataset_id": job.facts.get("dataset_id"),
        "dataset_version": job.facts.get("dataset_version"),
        "error": None if job.error_message is None else {"code": job.error_code, "message": job.error_message},
        "revision": job.revision,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")
