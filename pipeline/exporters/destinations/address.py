"""Destination: where an export is delivered to: a folder, a place in a bucket, or a model repository of the Hub."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote, unquote

Scheme = Literal["file", "gs", "s3", "hf"]
_KNOWN = "a folder (/…), gs://bucket/path, s3://bucket/path or hf://namespace/name"
# What both stores allow: https://cloud.google.com/storage/docs/buckets#naming is the wider of the two.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# As in huggingface_hub.utils.validate_repo_id, whose module is too heavy to be imported here.
_HUB_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_LONGEST_HUB_ID = 96
# S3 and GCS keep no longer keys; what is written below the prefix needs some of it.
_LONGEST_PREFIX_BYTES = 700


@dataclass(frozen=True)
class Destination:
    """One destination. `path` is a folder's absolute path, a bucket's prefix (may be empty) or a repository's name.

    `container` is the bucket or the Hub's namespace; empty for a folder. `str()` gives the address in its normal form.
    """

    scheme: Scheme
    container: str
    path: str

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{quote(self.path)}"
        return f"{self.scheme}://{self.container}" + (f"/{self.path}" if self.path else "")


def parse_destination(text: str) -> Destination:
    """The destination that an address names.

    Raises:
        ValueError: it names none; the text says why, without any secret that the address may hold.
    """
    address = text.strip()
    if not address.isprintable():
        raise ValueError("The destination has characters that cannot be seen. Write it anew.")
    if address.startswith("/"):
        return _folder(address)
    scheme, mark, rest = address.partition("://")
    if not mark:
        raise ValueError(f"{address!r} is no destination. Give {_KNOWN}.")
    match scheme.lower():
        case "file":
            return _folder(unquote(_below_host(rest)))
        case "gs" | "s3" as kind:
            return _bucket("gs" if kind == "gs" else "s3", rest)
        case "hf":
            return _repository(rest)
        case _:
            raise ValueError(f"Nothing can be delivered to {scheme}:// addresses. Give {_KNOWN}.")


def _below_host(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError("A file:// address names a folder of this machine. Write it as file:///folder.")
    return f"/{path}"


def _folder(path: str) -> Destination:
    parts = PurePosixPath(path).parts[1:]
    if not path.isprintable():
        raise ValueError("The destination has characters that cannot be seen. Write it anew.")
    if ".." in parts:
        raise ValueError(f"{path} has .. in it. Give the folder's path as it is.")
    if not parts:
        raise ValueError(f"{path} names no folder. Give the absolute path of one, such as /data/exports.")
    return Destination("file", "", "/" + "/".join(parts))


def _bucket(scheme: Literal["gs", "s3"], rest: str) -> Destination:
    _refuse_secrets(scheme, rest)
    bucket, _, prefix = rest.partition("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise ValueError(
            f"{bucket!r} is not the name of a bucket: these have small letters, digits, dots, dashes. "
            f"Write {scheme}://bucket/path."
        )
    parts = [part for part in prefix.split("/") if part]
    if "." in parts or ".." in parts:
        raise ValueError(f"The path in {scheme}://{rest} has . or .. in it, which buckets do not know. Leave it out.")
    path = "/".join(parts)
    if len(path.encode()) > _LONGEST_PREFIX_BYTES:
        raise ValueError(f"The path in the bucket is longer than {_LONGEST_PREFIX_BYTES} bytes. Give a shorter one.")
    return Destination(scheme, bucket, path)


def _repository(rest: str) -> Destination:
    _refuse_secrets("hf", rest)
    match rest.rstrip("/").split("/"):
        case [namespace, name] if _is_hub_name(namespace, name):
            return Destination("hf", namespace, name)
        case [namespace, name]:
            raise ValueError(
                f"{namespace}/{name} is not a name that the Hugging Face Hub allows: letters, digits, dash, dot and "
                f"underscore, at most {_LONGEST_HUB_ID} in all, no dash or dot at the ends, none twice in a row."
            )
        case _:
            raise ValueError(f"hf://{rest} is not the address of a model. Write it as hf://namespace/name.")


def _is_hub_name(namespace: str, name: str) -> bool:
    has_room = len(f"{namespace}/{name}") <= _LONGEST_HUB_ID and not name.endswith(".git")
    return has_room and all(_HUB_NAME.fullmatch(part) is not None for part in (namespace, name))


def _refuse_secrets(scheme: str, rest: str) -> None:
    # The text itself is left out of the sentence: it may be a key.
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(
            f"A {scheme}:// address has no user, key or query in it. Leave out what has @, ? or #; keys are taken from "
            "the environment."
        )
