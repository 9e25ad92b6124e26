"""The way of a base model onto this disk, from the Hugging Face Hub or a bucket, and from one run to the next."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock

from pipeline.config import ModelConfig
from pipeline.data.fetch.address import without_secrets
from pipeline.data.fetch.object_store import list_objects
from pipeline.data.fetch.progress import Progress
from pipeline.data.fetch.remote_file import RemoteFile
from pipeline.data.fetch.retry import ask
from pipeline.data.fetch.transfer import RESERVE_BYTES, transfer_all
from pipeline.errors import DataProblem, ModelUnavailable, StorageFailed
from pipeline.providers.model_address import HubModel, StoredModel, source_of
from pipeline.providers.model_files import (
    CONFIG_FILE,
    ModelFiles,
    holds_weights,
    local_files,
    needed_files,
    require_model,
)


def _tell_nobody(done: int, total: int | None, what: str) -> None:
    pass


def fetch_model(config: ModelConfig, *, progress: Progress = _tell_nobody) -> Path:
    """The folder of the base model, brought onto this disk unless it is here; it has all that training starts from.

    Raises:
        ModelUnavailable: there is no such model, it may not be read, or it cannot be trained; the text says why.
        StorageFailed: the store cannot be reached or fails too often, or the disk is too small.
    """
    match source_of(config):
        case Path() as folder:
            needed_files(local_files(folder), config)
            return folder
        case HubModel() as model:
            from pipeline.providers.hub_model import fetch_hub_model

            return fetch_hub_model(model.id, config, revision=model.revision, progress=progress)
        case StoredModel(address):
            return _fetch_stored(address, config, progress=progress, weights=True)


def located(config: ModelConfig) -> ModelConfig:
    """The configuration with the base model as the Hub's id or as a folder, which has all but the weights.

    Raises:
        ModelUnavailable: there is no such folder, or no model in it; the text says why.
        StorageFailed: a store cannot be reached or fails too often, or the disk is too small.
    """
    match source_of(config):
        case HubModel(name, revision):
            return config.model_copy(update={"base_model": name, "revision": revision})
        case Path() as folder:
            require_model(local_files(folder))
            return config.model_copy(update={"base_model": str(folder)})
        case StoredModel(address):
            folder = _fetch_stored(address, config, progress=_tell_nobody, weights=False)
            return config.model_copy(update={"base_model": str(folder)})


def require_room(folder: Path, needed: int, *, name: str) -> None:
    """Raise StorageFailed where `needed` bytes do not fit on the disk of `folder`."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free - RESERVE_BYTES
    if needed > free:
        raise StorageFailed(
            f"{name} needs {needed / 1e9:,.1f} GB more at {existing}, and {max(0, free) / 1e9:,.1f} GB can be used "
            "there. Make room, or choose a smaller model."
        )


def models_folder() -> Path:
    """Where models from buckets are kept, for every run to use."""
    return Path(os.environ.get("LAPIDARY_HOME", "~/.lapidary")).expanduser() / "models"


def _fetch_stored(address: str, config: ModelConfig, *, progress: Progress, weights: bool) -> Path:
    name = without_secrets(address)
    progress(0, None, f"Looking at {name}")
    with _as_model_problem():
        remotes = list_objects(address)
        files = ModelFiles(name, frozenset(remotes), lambda path: ask(partial(_read_text, remotes[path]), what=path))
        whole = {path: remotes[path] for path in needed_files(files, config)}
        # Named after the content: what changed since an earlier run is not mixed with what that one left.
        state = "".join(f"{path}\0{remote.tag}\0{remote.size}\n" for path, remote in whole.items())
        folder = models_folder() / hashlib.sha256(f"{address}\n{state}".encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        wanted = whole if weights else {path: whole[path] for path in whole if not holds_weights(path)}
        with FileLock(folder / "lock"):
            here = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            require_room(folder, sum(remote.size or 0 for remote in wanted.values()) - here, name=name)
            return transfer_all(wanted, folder, progress=progress)[CONFIG_FILE].parent


def _read_text(remote: RemoteFile) -> str:
    with remote.open(0, None) as body:
        return b"".join(body.chunks).decode("utf-8", errors="replace")


@contextmanager
def _as_model_problem() -> Iterator[None]:
    """Run the body; what is wrong with a place is here wrong with a model."""
    try:
        yield
    except DataProblem as error:
        raise ModelUnavailable(str(error)) from error
