"""Files behind http and https addresses as RemoteFile; which failures pass by themselves, and which do not."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from pipeline.data.fetch.remote_file import Body, RemoteFile
from pipeline.data.fetch.retry import TryAgain
from pipeline.errors import DataProblem, UserError

if TYPE_CHECKING:
    import httpx

# Statuses of a server that is busy or restarting, not of a wrong request.
PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)


def http_file(
    client: "httpx.Client",
    url: str,
    *,
    name: str,
    refuse: "Callable[[httpx.Response], UserError]",
    headers: dict[str, str] | None = None,
    size: int | None = None,
    tag: str | None = None,
    condition: str | None = None,
    has_ranges: bool = True,
    checksum: str | None = None,
) -> RemoteFile:
    """The file at `url`. `refuse` says what a refusal means; `condition` is the If-Range of its present content."""
    asked = {"Accept-Encoding": "identity", **({} if headers is None else headers)}
    return RemoteFile(
        name=name,
        open=partial(_open, client, url, asked, condition, refuse),
        size=size,
        tag=tag,
        has_ranges=has_ranges,
        checksum=checksum,
    )


def passing_failure(response: "httpx.Response") -> TryAgain | None:
    """What to do about a busy or restarting server; None for any other answer."""
    if response.status_code not in PASSING_STATUSES:
        return None
    reason = f"{response.url.host} answered {response.status_code} ({response.reason_phrase})"
    return TryAgain(reason, wait=_asked_wait(response))


@contextmanager
def explained_connection() -> Iterator[None]:
    """Run the body; a connection that fails becomes TryAgain, an impossible address DataProblem."""
    import httpx

    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise DataProblem(f"The address leads nowhere: {error}. Check it.") from error
    except httpx.TimeoutException as error:
        raise TryAgain(f"{_host(error)} did not answer in time") from error
    except httpx.ConnectError as error:
        raise TryAgain(f"{_host(error)} cannot be reached: {error}") from error
    except httpx.TransportError as error:
        raise TryAgain(f"the connection to {_host(error)} broke") from error


@contextmanager
def _open(
    client: "httpx.Client",
    url: str,
    headers: dict[str, str],
    condition: str | None,
    refuse: "Callable[[httpx.Response], UserError]",
    start: int,
    end: int | None,
) -> Iterator[Body]:
    if start or end is not None:
        headers = {**headers, "Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if condition is not None:
            headers["If-Range"] = condition
    with explained_connection(), client.stream("GET", url, headers=headers) as response:
        if failure := passing_failure(response):
            raise failure
        if response.is_error:
            response.read()
            raise refuse(response)
        is_encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        chunks = response.iter_bytes() if is_encoded else response.iter_raw()
        yield Body(_first_byte(response), chunks)


def _first_byte(response: "httpx.Response") -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if response.status_code == HTTPStatus.PARTIAL_CONTENT and match is not None else 0


def _asked_wait(response: "httpx.Response") -> float | None:
    """Seconds from Retry-After, as a number or a date, or from the rate limit that the Hub tells of."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    date = parsedate_tz(value)
    if date is not None:
        return max(0.0, mktime_tz(date) - time.time())
    limit = re.search(r";\s*r=0\s*;\s*t=(\d+)", response.headers.get("RateLimit", ""))
    return None if limit is None else float(limit[1])


def _host(error: "httpx.RequestError") -> str:
    try:
        return error.request.url.host
    except RuntimeError:
        return "the server"
