"""Tells what a reply of an endpoint means: an answer, a reason to try again, or a sentence for the user."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import DataProblem

# Conflict, timeout and "too early" pass by themselves, like everything a server blames on itself.
_PASSING = {408, 409, 425, 429}
# A 429 with one of these codes does not pass by waiting.
_NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}
_QUOTED_CHARACTERS = 300


class RequestFailed(Exception):
    """One request came to nothing, others may not; the text is the reason, without a full stop."""


class TryAgain(Exception):
    """The request failed for the moment. `wait` is how many seconds the server asks for; 0 where it does not say."""

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """An HTTP response, its text free of the key; header names in small letters."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Completion:
    """What the model wrote. Tokens are None where the server does not count them."""

    text: str
    input_tokens: int | None
    output_tokens: int | None
    is_cut_off: bool


def read_completion(reply: Reply) -> Completion:
    """The answer in a reply of status 200.

    Raises:
        RequestFailed: it is not a chat completion.
    """
    try:
        document = json.loads(reply.text)
    except (ValueError, RecursionError) as error:
        if "html" in reply.headers.get("content-type", ""):
            raise RequestFailed("the endpoint answered with a web page; its address may lack /v1") from error
        raise RequestFailed("the endpoint answered with something that is not JSON") from error
    try:
        choice = document["choices"][0]
        content, usage = choice["message"].get("content"), document.get("usage")
        cut_off = choice.get("finish_reason") == "length"
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise RequestFailed(f"the endpoint's answer has no choices: {_quote(reply.text)}") from error
    return Completion(_text_of(content), *_tokens_of(usage), is_cut_off=cut_off)


def raise_for_reply(reply: Reply, *, address: str, model: str, has_key: bool) -> None:
    """Return if the reply is of status 200.

    Raises:
        TryAgain: the same request may succeed later.
        RequestFailed: this request cannot succeed.
        DataProblem: no request can succeed with these settings.
    """
    status, (code, message) = reply.status, error_of(reply)
    if status == 200:  # noqa: PLR2004 - HTTP's own number
        return
    said = f" It said: {message}" if message else ""
    if 300 <= status < 400:  # noqa: PLR2004
        raise DataProblem(_redirected(reply, address))
    if status in (401, 403):
        key = "refused the key" if has_key else "asks for a key, and none is stored"
        # What it says is not repeated here: some servers quote the key.
        raise DataProblem(
            f"The endpoint {address} {key} (status {status}). Store a key that may use the model {model}."
        )
    if status == 402 or code in _NO_CREDIT:  # noqa: PLR2004
        raise DataProblem(f"The account at {address} has no credit left. Top it up and start again.{said}")
    if status == 404:  # noqa: PLR2004
        if "model" in message.lower() or code == "model_not_found":
            raise DataProblem(
                f"The endpoint {address} knows no model called {model}. Check its spelling on the server.{said}"
            )
        raise DataProblem(
            f"There is no chat API at {address}/chat/completions (status 404). Most addresses end in /v1."
        )
    if status in _PASSING or status >= 500:  # noqa: PLR2004
        raise TryAgain(f"the endpoint answered with status {status}{_clause(message)}", wait=wait_asked_for(reply))
    raise RequestFailed(f"the endpoint refused the request with status {status}{_clause(message)}")


def error_of(reply: Reply) -> tuple[str, str]:
    """The code and the message of an error, in the shapes that servers use; empty where there are none."""
    try:
        document = json.loads(reply.text)
    except (ValueError, RecursionError):
        return "", ""
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, dict):
        message = next((error[name] for name in ("message", "detail", "error") if error.get(name)), "")
        return str(error.get("code", "")), _quote(str(message))
    return "", _quote(error) if isinstance(error, str) else ""


def wait_asked_for(reply: Reply) -> float:
    """Seconds until the server wants the next request, from `Retry-After`; 0 where it does not say."""
    value = reply.headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdigit() and value.isascii():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    moment = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _redirected(reply: Reply, address: str) -> str:
    target = urlsplit(reply.headers.get("location", ""))
    where = f" to {target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}" if target.netloc else ""
    return (
        f"The endpoint {address} sends its visitors on{where} (status {reply.status}). "
        "The key is not sent there. If you trust it, set the address to that one."
    )


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens_of(usage: Any) -> tuple[int | None, int | None]:
    if not isinstance(usage, dict):
        return None, None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    sent, received = (count if isinstance(count, int) and count >= 0 else None for count in counts)
    return sent, received


def _clause(message: str) -> str:
    return f": {message.rstrip('.')}" if message else ""


def _quote(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _QUOTED_CHARACTERS else words[:_QUOTED_CHARACTERS] + "…"
