"""Augmentations: the verbs for making further rows: show ten, make all, review them, add what was accepted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from db import jobs
from db.database import Database
from db.models import Dataset, Job
from db.states import RESTING
from pipeline.augment.config import DocumentAugmentation, EndpointAugmentation
from pipeline.augment_job import PREVIEW_FILE, REVIEW_FOLDER, PreviewDocument
from pipeline.data.mapping import Mapping as ColumnMapping
from pipeline.data_config import AugmentJobConfig, ImportJobConfig
from pipeline.errors import DataProblem, InvalidConfig, Problem
from pipeline.run_dir import RunDir
from pipeline.validation import parse_augment_config
from studio.datasets import is_private, safe_name, take_upload
from studio.registry import Forbidden, Registry
from studio.scheduler import Scheduler
from studio.settings import Settings

METHOD_WORDS = {
    "typos": "slips of the keyboard",
    "case": "careless typing",
    "system_drop": "no system turn",
    "paraphrase": "other words",
    "synthesis": "new rows like these",
    "documents": "questions about documents",
}
_SETTINGS = ("augmentation", "seed")
_LONGEST_DESCRIPTION = 2000


class Augmentations:
    """Rows made for data sets. Every verb takes the owner that the caller was identified as, and checks it."""

    def __init__(self, settings: Settings, database: Database, scheduler: Scheduler, registry: Registry) -> None:
        self.settings = settings
        self.database = database
        self.scheduler = scheduler
        self.registry = registry

    # Making rows

    def preview(self, dataset_id: str, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue ten rows to look at, and the estimate for all. Raises InvalidConfig, NotFound, Forbidden."""
        return self._queue(dataset_id, data, owner=owner, preview=True)

    def start(self, dataset_id: str, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue the making of all rows. They wait for a review. Raises InvalidConfig, NotFound, Forbidden."""
        return self._queue(dataset_id, data, owner=owner, preview=False)

    def retry(self, identifier: str, *, owner: str) -> Job:
        """Go on with an augmentation that failed, was interrupted or cancelled; nothing is asked twice.

        Raises:
            NotFound, Forbidden: it is not there, or not the caller's.
            InvalidTransition: it has not ended, or was completed.
        """
        self.job(identifier, owner=owner)
        with self.database.write() as session:
            job = jobs.get_job(session, identifier)
            jobs.requeue(session, job, reason="gone on with by the user")
        self.scheduler.wake()
        return job

    def take_document(self, file: Path, *, name: str, owner: str) -> Path:
        """Keep an uploaded document, where the process that reads it may find it. Raises DataProblem, StorageFailed."""
        file_name = safe_name(name)
        stored = take_upload(self.settings, file, name=file_name, owner=owner)
        folder = stored.with_name(f"document-{stored.name}")
        folder.mkdir(mode=0o700)
        return stored.rename(folder / file_name)

    # Looking at them

    def job(self, identifier: str, *, owner: str) -> Job:
        """One augmentation. Raises NotFound, Forbidden."""
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        if job.kind != "augment":
            raise jobs.NotFound(f"{identifier} makes no rows; it is a job of another kind.")
        if job.owner != owner:
            raise Forbidden(f"The rows of {identifier} belong to somebody else.")
        return job

    def of_dataset(self, dataset_id: str, *, owner: str) -> list[Job]:
        """The augmentations of a data set, the newest first, without previews. Raises NotFound, Forbidden."""
        self.registry.dataset(dataset_id, owner=owner)
        with self.database.read() as session:
            found, _ = jobs.list_jobs(session, owner=owner, kind="augment", limit=1000)
        return [job for job in found if job.facts.get("augmented") == dataset_id and not job.config.preview]

    def preview_of(self, job: Job) -> PreviewDocument | None:
        """What a preview shows; None until it is there."""
        file = self._run_dir(job).path / PREVIEW_FILE
        return PreviewDocument.model_validate_json(file.read_bytes()) if file.exists() else None

    def rows(
        self, identifier: str, *, owner: str, status: str | None = None, offset: int = 0, limit: int = 20
    ) -> dict[str, Any]:
        """Some of the rows that were made, how many there are of this `status`, and the counts of all."""
        return self._ask("review_rows", identifier, owner=owner, status=status, offset=offset, limit=limit)

    # Deciding about them

    def decide(
        self,
        identifier: str,
        ids: Sequence[str] | None,
        status: Literal["accepted", "rejected", "proposed"],
        *,
        owner: str,
    ) -> int:
        """Accept rows, reject them, or take decisions back; without ids, all that wait for one. How many it were."""
        rows = None if ids is None else list(ids)
        return int(self._ask("review_decide", identifier, owner=owner, rows=rows, status=status)["decided"])

    def edit(self, identifier: str, row: str, edited: Mapping[str, Any], *, owner: str) -> None:
        """Accept a row in other words. Raises DataProblem where it cannot be used or is a copy."""
        self._ask("review_edit", identifier, owner=owner, row=row, edited=dict(edited))

    def accept(self, identifier: str, *, owner: str) -> Job:
        """Queue the import of the data set with the rows that were accepted, as its next version.

        Raises:
            NotFound, Forbidden: it is not there, or not the caller's.
            DataProblem: rows are still being made, none was accepted, or one is a copy.
        """
        job = self.job(identifier, owner=owner)
        if job.state not in RESTING:
            raise DataProblem("Rows are still being made. Wait for the end, or cancel; what was made is kept.")
        dataset = self._own(job.facts["augmented"], owner=owner)
        folder = self.settings.uploads / owner
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = folder / f"{uuid4().hex}.zip"
        merged = self._ask("merge_rows", identifier, owner=owner, folder=dataset.path, target=str(target))
        config = ImportJobConfig(
            name=dataset.name,
            source=str(target),
            file_name=f"{safe_name(dataset.name)} v{dataset.version} and rows made for it.zip",
            mapping=ColumnMapping.model_validate(merged["mapping"]),
            description=_description(dataset, merged["added"]),
            tags=tuple(dataset.tags),
            delete_source=True,
        )
        with self.database.write() as session:
            transfer = jobs.create_job(session, config, owner=owner)
            facts = {"added_rows": merged["added"], "left_out_rows": merged["left_out"], "augmentation": job.job_id}
            transfer.facts = {**transfer.facts, **facts}
            session.add(transfer)
        self.scheduler.wake()
        return transfer

    def _queue(self, dataset_id: str, data: Mapping[str, Any], *, owner: str, preview: bool) -> Job:
        dataset = self._own(dataset_id, owner=owner)
        config = self._parse(dataset, data, owner=owner, preview=preview)
        with self.database.write() as session:
            job = jobs.create_job(session, config, owner=owner)
            job.facts = {**job.facts, "augmented": dataset.id}
            session.add(job)
        self.scheduler.wake()
        return job

    def _parse(self, dataset: Dataset, data: Mapping[str, Any], *, owner: str, preview: bool) -> AugmentJobConfig:
        unknown = [name for name in data if name not in _SETTINGS]
        if unknown:
            raise InvalidConfig(
                [Problem(name, f"is not a setting. Give {' and '.join(_SETTINGS)}.") for name in unknown]
            )
        config = parse_augment_config({**data, "name": dataset.name, "dataset": dataset.path, "preview": preview})
        problems = self._out_of_bounds(config, owner=owner)
        if problems:
            raise InvalidConfig(problems)
        return config

    def _out_of_bounds(self, config: AugmentJobConfig, *, owner: str) -> list[Problem]:
        """Documents that the caller may not read, and an endpoint that strangers may not reach through the studio."""
        problems = []
        if isinstance(config.augmentation, DocumentAugmentation):
            problems += [
                Problem("augmentation.documents", f"{path} is not a document of yours. Upload it instead.")
                for path in config.augmentation.documents
                if not self.registry.may_read(Path(path), owner)
            ]
        if isinstance(config.augmentation, EndpointAugmentation) and not self.settings.is_local:
            host = urlsplit(config.augmentation.endpoint.base_url).hostname
            if host is not None and is_private(host):
                sentence = f"{host} is inside the studio's own network. Name a server that all can reach."
                problems.append(Problem("augmentation.endpoint.base_url", sentence))
        return problems

    def _own(self, dataset_id: str, *, owner: str) -> Dataset:
        dataset = self.registry.dataset(dataset_id, owner=owner)
        if dataset.owner != owner:
            raise Forbidden(f"{dataset.name} ships with the studio and stays as it is. Import a copy of your own.")
        return dataset

    def _ask(self, op: str, identifier: str, *, owner: str, **request: Any) -> dict[str, Any]:
        job = self.job(identifier, owner=owner)
        return self.registry.databench.review(op, self._run_dir(job).path / REVIEW_FOLDER, **request)

    def _run_dir(self, job: Job) -> RunDir:
        return RunDir(self.settings.runs / job.job_id)


def _description(dataset: Dataset, added: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,} by {METHOD_WORDS[method]}" for method, count in added.items())
    sentence = f"Version {dataset.version} with {sum(added.values()):,} rows added: {parts}."
    return f"{dataset.description} {sentence}".strip()[-_LONGEST_DESCRIPTION:]
