"""Registry: the verbs for data sets: import, find, look at, map, clean, delete. Rows are worked on in children."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from db import datasets, jobs
from db.database import Database
from db.models import Dataset, Job
from db.states import LIVE, JobState
from pipeline.data.inspection import Inspection
from pipeline.data.mapping import Mapping as ColumnMapping
from pipeline.data.mapping import Recognition
from pipeline.data_config import DatasetConfig, ImportJobConfig
from pipeline.errors import DataProblem, InvalidConfig, Problem, UserError
from pipeline.run_dir import RunDir
from pipeline.validation import parse_import_config
from studio.databench import Databench, Progress
from studio.datasets import SHARED_OWNER, describe, is_private, safe_name, take_upload
from studio.scheduler import Scheduler
from studio.settings import Settings

DEMO_NAME = "gem-orders (demo)"


class Forbidden(UserError):
    """The record belongs to somebody else."""

    code = "forbidden"


class InUse(UserError):
    """A data set cannot be deleted while a run reads it."""

    code = "in_use"


class Registry:
    """Data sets of every owner. Every verb takes the owner that the caller was identified as, and checks it."""

    def __init__(self, settings: Settings, database: Database, scheduler: Scheduler, databench: Databench) -> None:
        self.settings = settings
        self.database = database
        self.scheduler = scheduler
        self.databench = databench

    # Imports

    def import_source(self, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue the import of a file, a Hub data set or an address. Raises InvalidConfig."""
        config = parse_import_config({"name": _default_name(data), **data})
        path = Path(config.source).expanduser()
        if not self.settings.is_local and path.exists() and not self.may_read(path, owner):
            problem = Problem("source", f"{config.source} is outside the studio's folders. Upload the file instead.")
            raise InvalidConfig([problem])
        if not self.settings.is_local and (host := urlsplit(config.source).hostname) and is_private(host):
            problem = Problem("source", f"{host} is inside the studio's own network. Upload the file instead.")
            raise InvalidConfig([problem])
        return self._queue(config, owner=owner)

    def import_upload(self, file: Path, *, name: str, owner: str, **options: Any) -> Job:
        """Take an uploaded file and queue its import. Raises DataProblem, StorageFailed, InvalidConfig."""
        file_name = safe_name(name)
        parsed = parse_import_config({"name": Path(file_name).stem, **options, "source": "upload"})
        stored = take_upload(self.settings, file, name=file_name, owner=owner)
        taken = {"source": str(stored), "file_name": file_name, "delete_source": True}
        return self._queue(parsed.model_copy(update=taken), owner=owner)

    def import_text(self, text: str, *, name: str, owner: str) -> Job:
        """Import pasted rows. Their form is told from their beginning. Raises DataProblem where there are none."""
        if not text.strip():
            raise DataProblem("Nothing was pasted. Paste rows of JSON, or a table with a header line.")
        suffix = {"{": ".jsonl", "[": ".json"}.get(text.lstrip()[0], ".csv" if "," in text or "\t" in text else ".txt")
        self.settings.temporary.mkdir(parents=True, exist_ok=True)
        file = self.settings.temporary / f"pasted-{id(text)}"
        file.write_text(text, encoding="utf-8", newline="")
        return self.import_upload(file, name=f"{name.strip() or 'pasted'}{suffix}", owner=owner)

    def ensure_demo(self) -> None:
        """Import the task that ships with the studio, unless that was done."""
        with self.database.write() as session:
            known, _ = datasets.list_datasets(session, owners=(SHARED_OWNER,))
            waiting, _ = jobs.list_jobs(session, owner=SHARED_OWNER, kind="import")
            if known or any(job.state in (*LIVE, JobState.QUEUED) for job in waiting):
                return
            config = ImportJobConfig(
                name=DEMO_NAME,
                source=str(self.demo_folder),
                description="Orders for gems and the cards that are written for them; made up for trying the studio.",
                tags=("demo", "instruction"),
            )
            jobs.create_job(session, config, owner=SHARED_OWNER)

    def describe_hub(self, repository: str, *, owner: str) -> dict[str, Any]:
        """Subsets, splits and size of a Hub data set. Raises DataProblem, StorageFailed, RequestFailed."""
        token = self.environment_for(owner).get("HF_TOKEN")
        return self.databench.describe_hub(repository, token=token)

    @property
    def environment_for(self) -> Callable[[str], Mapping[str, str]]:
        """The stored keys of an owner by their names."""
        return self.scheduler.environment_for

    @property
    def demo_folder(self) -> Path:
        """The folder of the task that ships with the studio."""
        return self.settings.assets / "demo" / "gem-orders"

    def demo_path(self) -> str:
        """Where the demo's rows are: imported, or still as they ship."""
        with self.database.read() as session:
            known, _ = datasets.list_datasets(session, owners=(SHARED_OWNER,))
        return known[0].path if known else str(self.demo_folder)

    def transfers(self, *, owner: str, limit: int = 50, offset: int = 0) -> tuple[Sequence[Job], int]:
        """Imports of `owner`, the newest first, and how many there are."""
        with self.database.read() as session:
            return jobs.list_jobs(session, owner=owner, kind="import", limit=limit, offset=offset)

    def retry(self, identifier: str, *, owner: str) -> Job:
        """Queue an import again that failed or was cancelled; finished downloads are not fetched again.

        Raises:
            NotFound, Forbidden: it is not there, or not the caller's.
            InvalidTransition: it has not ended, or was completed.
        """
        self.transfer(identifier, owner=owner)
        with self.database.write() as session:
            job = jobs.get_job(session, identifier)
            jobs.requeue(session, job, reason="tried again by the user")
        self.scheduler.wake()
        return job

    def transfer(self, identifier: str, *, owner: str) -> Job:
        """One import. Raises NotFound, Forbidden."""
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        if job.kind != "import":
            raise jobs.NotFound(f"{identifier} is a run, not an import. The list of imports shows those there are.")
        if job.owner != owner:
            raise Forbidden(f"The import {identifier} belongs to somebody else.")
        return job

    # Data sets

    def datasets(
        self, *, owner: str, search: str = "", modality: str | None = None, tag: str | None = None,
        limit: int = 1000, offset: int = 0,
    ) -> tuple[Sequence[Dataset], int]:  # fmt: skip
        """Data sets that `owner` may use, the demo's among them, and how many match."""
        owners = (owner, SHARED_OWNER)
        with self.database.read() as session:
            return datasets.list_datasets(
                session, owners=owners, search=search, modality=modality, tag=tag, limit=limit, offset=offset
            )

    def dataset(self, identifier: str, *, owner: str) -> Dataset:
        """One data set. Raises NotFound, Forbidden."""
        with self.database.read() as session:
            dataset = datasets.get_dataset(session, identifier)
        if dataset.owner not in (owner, SHARED_OWNER):
            raise Forbidden(f"The data set {identifier} belongs to somebody else.")
        return dataset

    def describe(self, identifier: str, *, owner: str, description: str | None, tags: list[str] | None) -> Dataset:
        """Change what a data set is found by. Raises NotFound, Forbidden."""
        self._own(identifier, owner=owner)
        with self.database.write() as session:
            dataset = datasets.get_dataset(session, identifier)
            if description is not None:
                dataset.description = description[:2000]
            if tags is not None:
                dataset.tags = list(dict.fromkeys(tag.strip()[:40] for tag in tags if tag.strip()))[:20]
            session.add(dataset)
            return dataset

    def used_by(self, identifier: str, *, owner: str) -> list[Job]:
        """Runs whose rows come from a data set. Raises NotFound, Forbidden."""
        dataset = self.dataset(identifier, owner=owner)
        with self.database.read() as session:
            return [job for job in datasets.jobs_using(session, dataset) if job.owner == owner]

    def delete(self, identifier: str, *, owner: str) -> list[Job]:
        """Forget a data set and its files; returns the runs that used it, which keep their results.

        Raises:
            NotFound, Forbidden: it is not there, or not the caller's.
            InUse: a run that has not ended reads it.
        """
        dataset = self._own(identifier, owner=owner)
        used = self.used_by(identifier, owner=owner)
        if busy := [job.name for job in used if job.state in (*LIVE, JobState.QUEUED)]:
            raise InUse(f"{dataset.name} is read by {', '.join(busy)}. Wait for the end of the run, or cancel it.")
        with self.database.write() as session:
            datasets.forget_dataset(session, datasets.get_dataset(session, identifier))
        folder = Path(dataset.path)
        if folder.resolve().is_relative_to(self.settings.home):
            shutil.rmtree(folder, ignore_errors=True)
        return used

    # Looking at rows

    def inspect(self, config: DatasetConfig, *, owner: str, seed: int = 0) -> Inspection:
        """What a run would find in its data set. Raises DataProblem, InvalidConfig."""
        self.contain(config, owner=owner)
        return self.databench.inspect(config, seed=seed)

    def tokens(
        self, dataset: Dataset, *, row: int, base_model: str, train_on: str, max_length: int | None, owner: str
    ) -> list[dict[str, Any]]:
        """One row as tokens of a model. Raises DataProblem, RequestFailed where the tokenizer cannot be loaded."""
        if dataset.recognition is None:
            raise DataProblem(f"The columns of {dataset.name} were not recognised. Say which column is what first.")
        mapping = Recognition.model_validate(dataset.recognition).mapping
        return self.databench.tokens(
            dataset.path, mapping, row=row, base_model=base_model, train_on=train_on, max_length=max_length
        )

    def remap(self, identifier: str, mapping: ColumnMapping, *, owner: str, progress: Progress) -> Dataset:
        """Keep another mapping with a data set, checked anew. Raises DataProblem, NotFound, Forbidden."""
        dataset = self._own(identifier, owner=owner)
        self.databench.remap(dataset.path, mapping, progress=progress)
        fresh = describe(Path(dataset.path), owner=owner, name=dataset.name)
        kept = {"id", "version", "description", "tags", "details", "job", "created_at", "source"}
        with self.database.write() as session:
            stored = datasets.get_dataset(session, identifier)
            stored.sqlmodel_update(fresh.model_dump(exclude=kept))
            session.add(stored)
            return stored

    def cleaned_copy(self, identifier: str, *, owner: str, drop: Sequence[str]) -> Path:
        """A file of the data set without the rows of some findings. Raises DataProblem, NotFound, Forbidden."""
        dataset = self.dataset(identifier, owner=owner)
        target = self.settings.temporary / f"cleaned-{uuid4().hex}"
        return Path(self.databench.clean(dataset.path, target=target, drop=list(drop))["file"])

    def contain(self, config: DatasetConfig, *, owner: str) -> None:
        """Refuse files that the caller may not read. Raises InvalidConfig."""
        named = {"dataset.path": config.path, "dataset.eval_path": config.eval_path}
        problems = [
            Problem(field, f"{value} is not a data set of yours. Upload the file instead.")
            for field, value in named.items()
            if value is not None and Path(value).expanduser().exists() and not self.may_read(Path(value), owner)
        ]
        if problems:
            raise InvalidConfig(problems)

    def may_read(self, path: Path, owner: str) -> bool:
        """The local user may read any file of the machine; others only their data sets and what ships."""
        real = path.expanduser().resolve()
        if real.is_relative_to(self.settings.assets):
            return True
        if not real.is_relative_to(self.settings.home):
            return self.settings.is_local
        known, _ = self.datasets(owner=owner, limit=100_000)
        own_uploads = self.settings.uploads / owner
        return real.is_relative_to(own_uploads) or any(real == Path(dataset.path).resolve() for dataset in known)

    def _own(self, identifier: str, *, owner: str) -> Dataset:
        dataset = self.dataset(identifier, owner=owner)
        if dataset.owner != owner:
            raise Forbidden(f"{dataset.name} ships with the studio and stays as it is. Import a copy of your own.")
        return dataset

    def _queue(self, config: ImportJobConfig, *, owner: str) -> Job:
        with self.database.write() as session:
            job = jobs.create_job(session, config, owner=owner)
        self.scheduler.wake()
        return job

    def run_dir(self, job: Job) -> RunDir:
        """The folder of an import."""
        return RunDir(self.settings.runs / job.job_id)


def _default_name(data: Mapping[str, Any]) -> str:
    source = str(data.get("source", "")).rstrip("/")
    name = source.rpartition("/")[2]
    return (Path(name).stem if "." in name else name)[:120] or "data"
