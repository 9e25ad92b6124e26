"""What a source names: a file of this machine, a data set of the Hugging Face Hub, or files in a store."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pipeline.errors import DataProblem

SourceKind = Literal["file", "hub", "object_store"]
# Endings of files that hold rows, each of them also with .gz behind it.
TABLE_SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".xlsx", ".zip")
_FILE_SUFFIXES = (*TABLE_SUFFIXES, ".md", ".gz")
_STORE_SCHEMES = ("s3", "s3a", "gs", "gcs", "http", "https", "file")
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


@dataclass(frozen=True)
class HubAddress:
    """A data set of the Hub; the other fields are set where the address says more than its name."""

    id: str
    revision: str | None = None
    subset: str | None = None
    split: str | None = None
    path: str = ""


def kind_of_source(source: str) -> SourceKind:
    """What `source` names. A file that exists wins over a data set of the same name.

    Raises:
        DataProblem: the address is of a kind that cannot be fetched.
    """
    scheme, _, rest = source.partition("://")
    if rest:
        if scheme == "hf" or _is_hub_page(source):
            return "hub"
        if scheme.lower() in _STORE_SCHEMES:
            return "object_store"
        raise DataProblem(
            f"Nothing can be fetched from {scheme}:// addresses. Give a file, a Hugging Face id, or an address that "
            "begins with https://, s3:// or gs://."
        )
    if Path(source).expanduser().exists():
        return "file"
    is_hub_id = _HUB_ID.fullmatch(source) is not None and not source.lower().endswith(_FILE_SUFFIXES)
    return "hub" if is_hub_id else "file"


def parse_hub_address(source: str) -> HubAddress:
    """The data set that an id, an hf:// address or the address of a page of the Hub names.

    Raises:
        DataProblem: the address names something else than a data set.
    """
    scheme, _, rest = source.partition("://")
    if not rest:
        return HubAddress(source)
    if scheme == "hf":
        return _parse_hf(source, rest)
    parts = [unquote(part) for part in urlsplit(source).path.split("/") if part]
    if len(parts) < 2 or parts[0] != "datasets":
        raise DataProblem(f"{source} is not the address of a data set. Give one like https://huggingface.co/datasets/…")
    # Names with an owner have two parts; the few old ones have one, followed by a view or by nothing.
    views = ("tree", "blob", "resolve", "viewer", "raw", "discussions", "embed")
    length = 1 if len(parts) == 2 or parts[2] in views else 2
    repo_id, view = "/".join(parts[1 : 1 + length]), parts[1 + length :]
    match view:
        case ["tree" | "blob" | "resolve" | "raw", revision, *path]:
            return HubAddress(repo_id, revision=revision, path="/".join(path))
        case ["viewer", subset]:
            return HubAddress(repo_id, subset=subset)
        case ["viewer", subset, split, *_]:
            return HubAddress(repo_id, subset=subset, split=split)
        case _:
            return HubAddress(repo_id)


def without_secrets(address: str) -> str:
    """The address as it may be stored and shown: without a user, a password and a signed query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _parse_hf(source: str, rest: str) -> HubAddress:
    match = re.fullmatch(r"datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?", rest)
    if match is None:
        raise DataProblem(f"{source} is not the address of a data set. Give one like hf://datasets/owner/name.")
    repo_id, revision, path = match.groups()
    return HubAddress(
        repo_id,
        revision=None if revision is None else unquote(revision),
        path="" if path is None else path.strip("/"),
    )


def _is_hub_page(source: str) -> bool:
    host = urlsplit(source).netloc.lower()
    return host in (*_HUB_HOSTS, urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc.lower() or None)
