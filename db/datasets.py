"""The registry of data sets: register, version, search, forget."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from db.columns import utc_now
from db.jobs import NotFound
from db.models import Dataset, Job


def register_dataset(session: Session, dataset: Dataset) -> Dataset:
    """Store a data set. Content that the owner has under this name already brings its entry up to date; other content
    becomes the next version of the name."""
    same_name = select(Dataset).where(Dataset.owner == dataset.owner, Dataset.name == dataset.name)
    versions = session.exec(same_name.order_by(col(Dataset.version).desc())).all()
    known = next((version for version in versions if version.checksum == dataset.checksum), None)
    if known is not None:
        known.sqlmodel_update(dataset.model_dump(exclude={"id", "version", "created_at"}))
        known.updated_at = utc_now()
        session.add(known)
        return known
    dataset.version = versions[0].version + 1 if versions else 1
    session.add(dataset)
    return dataset


def get_dataset(session: Session, identifier: str) -> Dataset:
    """The data set with this id. Raises NotFound."""
    dataset = session.get(Dataset, identifier)
    if dataset is None:
        raise NotFound(f"There is no data set with the id {identifier!r}. The list of data sets shows those there are.")
    return dataset


def list_datasets(
    session: Session,
    *,
    owners: Sequence[str],
    search: str = "",
    modality: str | None = None,
    tag: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[Sequence[Dataset], int]:
    """Data sets of `owners`, the newest first, and how many match. `search` looks at name, description and source."""
    where: list[Any] = [col(Dataset.owner).in_(owners)]
    if search.strip():
        pattern = f"%{_escape_like(search.strip().lower())}%"
        fields = (Dataset.name, Dataset.description, Dataset.source)
        where.append(or_(*(func.lower(col(field)).like(pattern, escape="\\") for field in fields)))
    if modality is not None:
        where.append(col(Dataset.modality) == modality)
    query = select(Dataset).where(*where).order_by(col(Dataset.created_at).desc(), col(Dataset.id))
    # Tags are a JSON list, which SQLite and PostgreSQL search differently; a registry is small.
    found = [dataset for dataset in session.exec(query) if tag is None or tag in dataset.tags]
    return found[offset : offset + limit], len(found)


def jobs_using(session: Session, dataset: Dataset) -> list[Job]:
    """Fine-tuning runs whose rows come from this data set, the newest first."""
    query = select(Job).where(Job.kind == "train", Job.owner == dataset.owner).order_by(col(Job.created_at).desc())
    return [
        job
        for job in session.exec(query)
        if dataset.path in (job.training.dataset.path, job.training.dataset.eval_path)
    ]


def forget_dataset(session: Session, dataset: Dataset) -> None:
    """Take a data set out of the registry; its files are the caller's business."""
    session.delete(dataset)


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
