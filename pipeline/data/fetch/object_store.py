"""Sources in stores: a file behind an address, a file, folder or pattern in a bucket, and file:// addresses."""

import hashlib
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.data.fetch import Fetched, FetchedFile
from pipeline.data.fetch.address import without_secrets
from pipeline.data.fetch.progress import Progress
from pipeline.data.fetch.remote_file import Body, RemoteFile
from pipeline.data.fetch.retry import TryAgain, ask
from pipeline.data.fetch.sample import sample_all
from pipeline.data.fetch.transfer import transfer_all
from pipeline.data.fetch.web_file import open_web_file
from pipeline.errors import DataProblem

# A request for each block; small enough that a broken one costs little.
BLOCK_BYTES = 8 << 20
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
}


def fetch_objects(source: str, *, into: Path, progress: Progress, max_rows: int | None) -> Fetched:
    """Bring what the address names into `into`. Several files come as one folder; a local file stays where it is.

    Raises:
        DataProblem: there is nothing at the address, it may not be read, or a package for it is missing.
        StorageFailed: it cannot be reached or fails too often, or the disk is too small.
    """
    scheme = source.partition("://")[0].lower()
    if scheme == "file":
        return _local(source)
    if scheme in ("http", "https"):
        with open_web_file(source) as remote:
            return _bring({remote.name: remote}, source, into=into, progress=progress, max_rows=max_rows)
    progress(0, None, f"Looking at {source}")
    return _bring(list_objects(source), source, into=into, progress=progress, max_rows=max_rows)


def list_objects(source: str) -> dict[str, RemoteFile]:
    """The files in a bucket that the address names, by their paths below it.

    Raises:
        DataProblem: there are none, they may not be read, or a package for the store is missing.
        StorageFailed: it cannot be reached.
    """
    return ask(partial(_list, source, _EXTRAS[source.partition("://")[0].lower()]), what=source)


def _bring(
    remotes: dict[str, RemoteFile], source: str, *, into: Path, progress: Progress, max_rows: int | None
) -> Fetched:
    # Named after the content: what changed since an earlier attempt is not mixed with what that one left.
    state = "".join(f"{name}\0{remote.tag}\0{remote.size}\n" for name, remote in remotes.items())
    folder = into / hashlib.sha256(f"{source}\n{state}".encode()).hexdigest()[:16]
    if max_rows is None:
        places = transfer_all(remotes, folder, progress=progress)
    else:
        places = sample_all(
            remotes, folder.with_name(f"{folder.name}-first-{max_rows}"), progress=progress, max_rows=max_rows
        )
    shown = without_secrets(source)
    if len(remotes) == 1:
        ((name, place),) = places.items()
        return Fetched((FetchedFile(place, posixpath.basename(name), ""),), source=shown, revision=None)
    name, place = next(iter(places.items()))
    whole = place.parents[name.count("/")]
    return Fetched((FetchedFile(whole, posixpath.basename(shown.rstrip("/")), ""),), source=shown, revision=None)


def _local(source: str) -> Fetched:
    path = Path(unquote(urlsplit(source).path))
    if not path.exists():
        raise DataProblem(f"There is no file at {path}. Check the path, or upload the file again.")
    return Fetched((FetchedFile(path, path.name, ""),), source=path.name, revision=None)


def _list(source: str, extra: str) -> dict[str, RemoteFile]:
    """The files that the address names, by their paths below it."""
    files, path = _file_system(source, extra)
    with _explained(source, extra):
        if any(sign in path for sign in "*?["):
            found = files.glob(path, detail=True)
            base = posixpath.dirname(path[: min(path.find(sign) for sign in "*?[" if sign in path)])
        elif (info := files.info(path))["type"] == "file":
            found, base = {path: info}, posixpath.dirname(path)
        else:
            found, base = files.find(path, detail=True), path.rstrip("/")
    remotes = {}
    for key, info in sorted(found.items()):
        name = key.removeprefix(base).lstrip("/")
        if info["type"] == "file" and (len(found) == 1 or not _is_mark(name)):
            remotes[name] = _remote(files, key, name, info, partial(_explained, source, extra))
    if not remotes:
        raise DataProblem(f"There are no files at {source}. Check the bucket and the path.")
    return remotes


def _is_mark(name: str) -> bool:
    """Whether an object holds no data: stores have no folders but empty objects, and programs leave _SUCCESS."""
    return name.endswith("/") or any(part.startswith((".", "_")) and part != ".." for part in name.split("/"))


def _remote(files: Any, key: str, name: str, info: dict[str, Any], explained: Callable[[], Any]) -> RemoteFile:
    size = int(info["size"])
    tag = next(
        (str(info[field]) for field in ("ETag", "etag", "md5Hash", "LastModified", "updated") if field in info), None
    )

    @contextmanager
    def open_at(start: int, end: int | None) -> Iterator[Body]:
        def blocks() -> Iterator[bytes]:
            position, last = start, size if end is None else end
            while position < last:
                with explained():
                    block = files.cat_file(key, start=position, end=min(position + BLOCK_BYTES, last))
                if not block:
                    return
                position += len(block)
                yield block

        yield Body(start, blocks())

    return RemoteFile(name=name, open=open_at, size=size, tag=tag)


def _file_system(source: str, extra: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    try:
        if extra == "s3":
            options["config_kwargs"] = {"connect_timeout": 10, "read_timeout": 30}
            # Public buckets are read by anybody, but only by requests that are not signed at all.
            options["anon"] = import_module("botocore.session").Session().get_credentials() is None
        files, path = url_to_fs(source, **options)
    except ImportError as error:
        raise DataProblem(
            f"{source.partition('://')[0]}:// addresses need a package that is not installed. Install it with: "
            f'pip install "lapidary[{extra}]"'
        ) from error
    return files, path


@contextmanager
def _explained(source: str, extra: str) -> Iterator[None]:
    """Run the body; refusals become DataProblem, what may pass TryAgain."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataProblem(f"There is nothing at {source}. Check the bucket and the path.") from error
    except Exception as error:
        refused, passing = _failures(extra)
        if isinstance(error, refused):
            raise DataProblem(
                f"{source} may not be read: {_words(error)}. Set {_CREDENTIALS[extra]} in the environment of the "
                "studio to those of an account that may."
            ) from error
        if isinstance(error, passing):
            raise TryAgain(f"the store did not answer as it should: {_words(error)}") from error
        raise


def _failures(extra: str) -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """What the libraries of a store raise when it refuses, and when something went wrong that may pass."""
    from aiohttp import ClientError

    if extra == "s3":
        botocore = import_module("botocore.exceptions")
        unknown = (PermissionError, botocore.NoCredentialsError, botocore.PartialCredentialsError)
        return unknown, (OSError, TimeoutError, ClientError, botocore.BotoCoreError)
    unsigned = (PermissionError, import_module("google.auth.exceptions").GoogleAuthError)
    return unsigned, (OSError, TimeoutError, ClientError, import_module("gcsfs.retry").HttpError)


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
