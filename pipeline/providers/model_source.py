"""Where a base model lies: a folder, the Hugging Face Hub, or a bucket; and the way from there onto this disk."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from pipeline.config import ModelConfig
from pipeline.data.fetch.address import without_secrets
from pipeline.data.fetch.object_store import list_objects
from pipeline.data.fetch.progress import Progress
from pipeline.data.fetch.remote_file import RemoteFile
from pipeline.data.fetch.transfer import RESERVE_BYTES, transfer_all
from pipeline.errors import DataProblem, ModelUnavailable, StorageFailed
from pipeline.providers.model_files import CONFIG_FILE, ModelFiles, needed_files, require_model

STORE_SCHEMES = ("s3", "s3a", "gs", "gcs")
_HF_ADDRESS = re.compile(r"([^/@]+/[^/@]+)(?:@([^/]+))?/?")


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub at a branch, tag or commit."""

    id: str
    revision: str


@dataclass(frozen=True)
class StoredModel:
    """A model in a bucket: the address of its folder."""

    address: str


ModelSource = Path | HubModel | StoredModel


def source_of(config: ModelConfig) -> ModelSource:
    """What `base_model` names: a folder of this machine, a model of the Hub, or a folder in a bucket.

    Raises:
        ModelUnavailable: an address of a kind that no model can be fetched from.
    """
    name = config.base_model
    scheme, _, rest = name.partition("://")
    if not rest:
        return Path(name).expanduser() if looks_like_folder(name) else HubModel(name, config.revision)
    match scheme.lower():
        case "file":
            return Path(unquote(urlsplit(name).path))
        case "hf":
            return _hub_model(name, rest, config.revision)
        case kind if kind in STORE_SCHEMES:
            return StoredModel(name.rstrip("/"))
        case _:
            raise ModelUnavailable(
                f"No model can be fetched from {scheme}:// addresses. Give a Hugging Face id, a folder, or an address "
                "that begins with hf://, s3:// or gs://."
            )


def looks_like_folder(name: str) -> bool:
    """Whether `name` is that of a folder and not of a model of the Hub (`name` or `owner/name`)."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).is_dir()


def fetch_model(config: ModelConfig, *, progress: Progress = lambda done, total, what: None) -> Path:
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
            with _as_model_problem():
                return _fetch_stored(address, config, progress=progress)


def located(config: ModelConfig) -> ModelConfig:
    """The configuration with the base model as the Hub's id or as a folder; the weights of a Hub model stay there.

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
        case StoredModel():
            return config.model_copy(update={"base_model": str(fetch_model(config))})


def local_files(folder: Path, *, name: str | None = None) -> ModelFiles:
    """The files of a model in a folder, which is called `name` in messages.

    Raises:
        ModelUnavailable: there is no such folder.
    """
    if not folder.is_dir():
        raise ModelUnavailable(
            f"There is no folder at {folder}. Check the path, or give a Hugging Face id such as google/gemma-3-1b-it."
        )
    # No deeper: the folder may be somebody's home.
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    paths = frozenset(path.relative_to(folder).as_posix() for path in found)
    shown = str(folder) if name is None else name
    return ModelFiles(shown, paths, lambda path: (folder / path).read_text(encoding="utf-8"))


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


def _hub_model(name: str, rest: str, revision: str) -> HubModel:
    match = _HF_ADDRESS.fullmatch(rest)
    if match is None:
        raise ModelUnavailable(f"{name} is not the address of a model. Give one like hf://owner/name or its id alone.")
    told = match[2]
    return HubModel(match[1], revision if told is None else unquote(told))


def _fetch_stored(address: str, config: ModelConfig, *, progress: Progress) -> Path:
    name = without_secrets(address)
    progress(0, None, f"Looking at {name}")
    remotes = list_objects(address)
    files = ModelFiles(name, frozenset(remotes), lambda path: _read_text(remotes[path]))
    wanted = {path: remotes[path] for path in needed_files(files, config)}
    # Named after the content: what changed since an earlier run is not mixed with what that one left.
    state = "".join(f"{path}\0{remote.tag}\0{remote.size}\n" for path, remote in wanted.items())
    folder = models_folder() / hashlib.sha256(f"{address}\n{state}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(folder / "lock"):
        here = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        require_room(folder, sum(remote.size or 0 for remote in wanted.values()) - here, name=name)
        places = transfer_all(wanted, folder, progress=progress)
    return places[CONFIG_FILE].parent


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
