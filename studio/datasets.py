"""Data sets of the studio: names, uploads, the entry that a finished import makes, and whether a model can use them."""

import ipaddress
import json
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlmodel import Session

from db import datasets
from db.models import Dataset, Job
from pipeline.data.integrity.report import IntegrityReport
from pipeline.data.row_store import REPORT_FILE, RowStore
from pipeline.data_config import ImportJobConfig
from pipeline.errors import DataProblem, StorageFailed
from pipeline.run_dir import RunDir
from studio.catalog import Catalog
from studio.settings import Settings

SHARED_OWNER = "studio"


def safe_name(name: str) -> str:
    """The last part of a file name, with unusual characters replaced. Raises DataProblem where nothing is left."""
    cleaned = re.sub(r"[^\w.\- ]+", "_", Path(name.replace("\\", "/")).name).strip(". ")
    if not cleaned:
        raise DataProblem(f"{name!r} is not a file name. Rename the file and upload it again.")
    return cleaned[-120:]


def is_private(host: str) -> bool:
    """Whether a name or number leads to this machine or its own network; one that leads nowhere does not."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(not ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found)


def take_upload(settings: Settings, source: Path, *, name: str, owner: str) -> Path:
    """Move an uploaded file below the studio's folder, where the child that imports it may read it.

    Raises:
        StorageFailed: it cannot be moved, for example because the disk is full.
    """
    target = settings.uploads / owner / uuid4().hex
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(source, target)
    except OSError as error:
        # What was copied before the disk was full; the folder itself may be what is missing.
        if target.parent.is_dir():
            target.unlink(missing_ok=True)
        raise StorageFailed(
            f"{name} could not be stored: {error.strerror}. Free some space and upload it again."
        ) from error
    return target


def register_import(session: Session, job: Job, run_dir: RunDir) -> Dataset:
    """The registry's entry of a finished import."""
    config: ImportJobConfig = job.config
    folder = run_dir.artifact("dataset")
    entry = describe(folder, owner=job.owner, name=config.name)
    entry.job = job.id
    entry.description, entry.tags = config.description, list(config.tags)
    entry.details = {
        "source": job.config.source if config.file_name is None else "upload",
        **({"subset": config.subset} if config.subset else {}),
        **({"revision": config.revision} if config.revision != "main" else {}),
        **({"added_rows": job.facts["added_rows"]} if "added_rows" in job.facts else {}),
    }
    dataset = datasets.register_dataset(session, entry)
    job.facts = {**job.facts, "dataset_id": dataset.id, "dataset_version": dataset.version}
    return dataset


def describe(folder: Path, *, owner: str, name: str) -> Dataset:
    """An entry for the data set in `folder`."""
    summary = RowStore(folder).summary
    report_file = folder / REPORT_FILE
    report = IntegrityReport.model_validate_json(report_file.read_bytes()) if report_file.exists() else None
    recognition = summary.recognition
    return Dataset(
        owner=owner,
        name=name,
        source=summary.source,
        path=str(folder),
        shape="" if recognition is None else recognition.shape,
        format="" if recognition is None else recognition.format,
        modality="text" if recognition is None else recognition.modality,
        confidence=0.0 if recognition is None else recognition.confidence,
        recognition=None if recognition is None else recognition.model_dump(mode="json"),
        num_samples=summary.rows,
        usable_samples=0 if report is None else report.usable_rows,
        unreadable_samples=summary.unreadable_rows,
        size_bytes=summary.size_bytes,
        checksum=summary.checksum,
        columns=summary.columns,
        splits=summary.splits,
        integrity_checked=report is not None,
        integrity_passed=report is not None and report.passed,
        integrity_report={} if report is None else report.model_dump(mode="json"),
    )


@dataclass(frozen=True)
class ModelTraits:
    """What decides whether a data set suits a model; None where its files have not been seen."""

    name: str
    sees_images: bool | None
    knows_chats: bool | None


def model_traits(reference: str, catalog: Catalog) -> ModelTraits:
    """The traits of a model, read from its folder where that is on this disk."""
    folder, name = Path(reference), catalog.display_name(reference)
    if not (folder / "config.json").is_file():
        return ModelTraits(name, None, None)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = folder / "tokenizer_config.json"
    in_tokenizer = tokenizer.is_file() and "chat_template" in tokenizer.read_text(encoding="utf-8")
    return ModelTraits(name, "vision_config" in config, in_tokenizer or (folder / "chat_template.jinja").is_file())


def compatibility(dataset: Dataset, model: ModelTraits) -> dict[str, Any]:
    """Whether a model can be trained on a data set: `compatible`, and sentences in `warnings` and `errors`."""
    errors, warnings = [], []
    if dataset.modality == "multimodal" and model.sees_images is False:
        errors.append(f"The data set has images and {model.name} reads text only. Choose a model that sees images.")
    if not dataset.format:
        errors.append("The columns were not recognised. Say which column is what.")
    elif dataset.format != "text" and model.knows_chats is False:
        errors.append(
            f"{model.name} has no chat template, so it does not know conversations. Choose its instruction-tuned form."
        )
    if dataset.integrity_checked and not dataset.integrity_passed:
        errors.append("The integrity check found errors. Open the data set to see the rows.")
    if dataset.format and not dataset.integrity_checked:
        warnings.append("The rows were never checked. Import the data set again to check them.")
    unusable = dataset.num_samples - dataset.usable_samples
    if dataset.integrity_checked and unusable:
        warnings.append(f"{unusable:,} of {dataset.num_samples:,} rows cannot be used and are left out.")
    return {"compatible": not errors, "warnings": warnings, "errors": errors}
