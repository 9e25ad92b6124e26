"""One file behind an http or https address: its name, its size, and whether it can be resumed."""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pipeline.data.fetch.address import TABLE_SUFFIXES, without_secrets
from pipeline.data.fetch.http_file import explained_connection, http_file, passing_failure
from pipeline.data.fetch.remote_file import RemoteFile
from pipeline.data.fetch.retry import ask
from pipeline.errors import DataProblem, StorageFailed, UserError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 30.0
_MOST_REDIRECTS = 5
_SUFFIX_OF_TYPE = {
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/plain": ".txt",
}


@contextmanager
def open_web_file(address: str) -> Iterator[RemoteFile]:
    """The file at `address`; it can be read while the body runs.

    Raises:
        DataProblem: there is none, it may not be read, or the address is that of a web page.
        StorageFailed: its server cannot be reached.
    """
    import httpx

    timeout = httpx.Timeout(_TIMEOUT_SECONDS, pool=None)
    with httpx.Client(follow_redirects=True, max_redirects=_MOST_REDIRECTS, timeout=timeout) as client:
        yield ask(lambda: _look(client, address), what=without_secrets(address))


def _look(client: "httpx.Client", address: str) -> RemoteFile:
    # One byte tells what a HEAD tells, where HEAD is not allowed too, and whether ranges are served.
    headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    with explained_connection(), client.stream("GET", address, headers=headers) as response:
        if failure := passing_failure(response):
            raise failure
        if response.is_error and response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _refusal(response)
        has_ranges = response.status_code == HTTPStatus.PARTIAL_CONTENT
        is_encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        condition = _condition(response)
        name = _name(response, address)
    if response.headers.get("Content-Type", "").startswith("text/html") and not name.lower().endswith(TABLE_SUFFIXES):
        raise DataProblem(
            f"{without_secrets(address)} is a web page, not a file of rows. Give the address of the download itself."
        )
    return http_file(
        client,
        address,
        name=name,
        refuse=_refusal,
        size=None if is_encoded else _size(response, has_ranges=has_ranges),
        tag=condition,
        condition=condition,
        has_ranges=has_ranges and condition is not None and not is_encoded,
    )


def _size(response: "httpx.Response", *, has_ranges: bool) -> int | None:
    if has_ranges:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None


def _condition(response: "httpx.Response") -> str | None:
    """What If-Range takes: an ETag that stands for exact bytes, else the date of the last change."""
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return str(tag)
    date = response.headers.get("Last-Modified")
    return None if date is None else str(date)


def _name(response: "httpx.Response", address: str) -> str:
    """A file name with an ending that tells the type, as far as the server says it."""
    told = re.search(r'filename\*?="?(?:UTF-8\'\')?([^";]+)', response.headers.get("Content-Disposition", ""))
    raw = told[1] if told is not None else urlsplit(address).path
    name = re.sub(r"[\x00-\x1f\x7f\\]", "_", posixpath.basename(unquote(raw).rstrip("/")))[-150:].lstrip(".")
    name = name if name else "download"
    if name.lower().removesuffix(".gz").endswith(TABLE_SUFFIXES):
        return name
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return name + _SUFFIX_OF_TYPE.get(kind, "")


def _refusal(response: "httpx.Response") -> UserError:
    place, status = without_secrets(str(response.url)), response.status_code
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return DataProblem(f"There is nothing at {place} (its server answers {status}). Check the address.")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
        return DataProblem(
            f"{place} may not be read without signing in (its server answers {status}). Download it in a browser and "
            "upload it here, or give an address that anybody may read."
        )
    return StorageFailed(f"{place} cannot be fetched: its server answers {status}. Check the address.")
