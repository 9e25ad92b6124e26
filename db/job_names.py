"""Readable ids of jobs, from what they are about."""

import re
from pathlib import PurePath

from pipeline.config import AnyJobConfig, FineTuneJobConfig
from pipeline.data_config import AugmentJobConfig, ImportJobConfig
from pipeline.export_config import ExportJobConfig


def readable_name(config: AnyJobConfig, *, dataset_name: str | None) -> str:
    """training_<dataset>_<model>, import_<name>, augment_<name> or export_<name>.

    `dataset_name` is used instead of the last part of the data set's path.
    """
    match config:
        case FineTuneJobConfig():
            dataset_name = _last_part(config.dataset.path) if dataset_name is None else dataset_name
            return f"training_{_slug(dataset_name)}_{_slug(_last_part(config.model.base_model))}"
        case ImportJobConfig() | AugmentJobConfig() | ExportJobConfig():
            return f"{config.kind}_{_slug(config.name)}"


def _last_part(path: str) -> str:
    """The name at the end of a path without its ending; its folder's where the file is only called by its role."""
    parts = PurePath(path.replace("\\", "/")).parts
    name = parts[-1].rsplit(".", 1)[0] if parts else ""
    return parts[-2] if name in ("train", "data") and len(parts) > 1 else name


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:40] or "unnamed"
