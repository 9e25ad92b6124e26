"""EndpointClient: asks a server that speaks OpenAI's chat completions. Imported by child processes only."""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from pipeline.augment.config import EndpointConfig
from pipeline.augment.endpoint_key import EndpointKey
from pipeline.augment.rate_limit import TokenBucket
from pipeline.augment.replies import (
    Completion,
    Reply,
    RequestFailed,
    TryAgain,
    error_of,
    raise_for_reply,
    read_completion,
)
from pipeline.errors import DataProblem

logger = logging.getLogger(__name__)

Messages = Sequence[dict[str, str]]

# First pause and longest pause between tries in seconds; doubled each time, then cut by up to half at random so that
# threads do not come back together.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# A server that asks for a longer pause is left alone; the run can be started again then.
_LONGEST_WAIT_ASKED_FOR = 300.0
# An answer is text of at most some hundred thousand tokens; more is not an answer.
_MOST_REPLY_BYTES = 8 << 20
# What servers refuse by name, and what takes its place: LM Studio has no plain JSON mode, newer OpenAI models call
# the limit by another name and fix the temperature.
_REPLACEMENTS = {"response_format": None, "max_tokens": "max_completion_tokens", "temperature": None}


class ChatClient(Protocol):
    """Something that answers messages."""

    def complete(self, messages: Messages) -> tuple[Completion, int]:
        """The answer, and how many requests it took. Raises RequestFailed or DataProblem."""

    def stop_waiting(self) -> None:
        """End the pauses of all threads; their requests fail."""


class EndpointClient:
    """Context manager; safe to use from several threads.

    The key goes into one header of requests to this endpoint and nowhere else: redirects are not followed, and it is
    taken out of whatever the server says. `clock` and `sleep` are for the rate limit and the pauses.

    Raises:
        DataProblem: the key would be readable on its way.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        key: EndpointKey,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        import httpx

        self._config = config
        self._key = key
        key.raise_if_readable_on_the_way_to(config.base_url)
        self._clock, self._jitter = clock, jitter
        self._closing = threading.Event()
        # Waiting for the event ends when the client is closed.
        self._sleep = self._closing.wait if sleep is None else sleep
        self._bucket = TokenBucket(config.requests_per_minute, clock=clock, sleep=self._sleep)
        self._refused_parameters: set[str] = set()
        self._http = httpx.Client(timeout=config.timeout_seconds, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End pauses and connections."""
        self._closing.set()
        self._http.close()

    def stop_waiting(self) -> None:
        """End the pauses of all threads; their requests fail, and later ones too."""
        self._closing.set()

    def complete(self, messages: Messages) -> tuple[Completion, int]:
        """The model's answer, and how many requests it took.

        Raises:
            RequestFailed: this request came to nothing, after the retries allowed.
            DataProblem: no request can succeed: key, model, address, credit.
        """
        attempts, retries = 0, 0
        while True:
            self._bucket.take()
            if self._closing.is_set():
                raise RequestFailed("the run was stopped")
            attempts += 1
            body = self._body(messages)
            try:
                reply = self._post(body)
                refused = self._refused_parameter(reply, body)
                if refused is not None:
                    logger.warning("The endpoint does not take %s; it is left out or renamed.", refused)
                    self._refused_parameters.add(refused)
                    continue
                raise_for_reply(
                    reply, address=self._config.base_url, model=self._config.model, has_key=self._key.is_set
                )
                return read_completion(reply), attempts
            except TryAgain as problem:
                retries += 1
                self._pause(problem, retries)

    def _body(self, messages: Messages) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": list(messages),
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "response_format": {"type": "json_object"},
        }
        for name in self._refused_parameters & body.keys():
            value, replacement = body.pop(name), _REPLACEMENTS[name]
            if replacement is not None:
                body[replacement] = value
        return body

    def _refused_parameter(self, reply: Reply, body: dict[str, Any]) -> str | None:
        if reply.status not in (400, 422):
            return None
        _, message = error_of(reply)
        named = [name for name in _REPLACEMENTS if name in body and name in message]
        # A value out of range is the user's to correct; it must not vanish.
        is_unknown = "support" in message.lower() or "response_format" in named
        return named[0] if named and is_unknown else None

    def _pause(self, problem: TryAgain, retries: int) -> None:
        if retries > self._config.max_retries:
            tries = "" if retries == 1 else f", {retries} times"
            if isinstance(problem, _NoServer):
                raise DataProblem(
                    f"The endpoint {self._config.base_url} cannot be reached ({problem}{tries}). "
                    "Start its server, or correct the address; what was made so far is kept."
                ) from problem
            raise RequestFailed(f"{problem}{tries}") from problem
        if problem.wait > _LONGEST_WAIT_ASKED_FOR:
            raise DataProblem(
                f"The endpoint {self._config.base_url} asks to wait {problem.wait / 60:,.0f} minutes ({problem}). "
                "Start again then, or set fewer requests a minute; what was made so far is kept."
            ) from problem
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (retries - 1)) * (1 - self._jitter() / 2)
        self._sleep(max(problem.wait, pause))

    def _post(self, body: dict[str, Any]) -> Reply:
        import httpx

        headers = {"content-type": "application/json", "user-agent": "lapidary"}
        headers |= self._key.headers()
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        url = f"{self._config.base_url}/chat/completions"
        late = f"the endpoint gave no answer within {self._config.timeout_seconds:g} seconds"
        try:
            deadline = self._clock() + self._config.timeout_seconds
            with self._http.stream("POST", url, content=content, headers=headers) as response:
                received = bytearray()
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > _MOST_REPLY_BYTES:
                        raise RequestFailed(f"the endpoint's answer is over {_MOST_REPLY_BYTES >> 20} MB")
                    if self._clock() > deadline:
                        raise TryAgain(late)
        except httpx.TimeoutException as error:
            raise TryAgain(late) from error
        except httpx.ConnectError as error:
            raise _NoServer(self._key.hide_in(str(error))) from error
        except httpx.TransportError as error:
            reason = self._key.hide_in(str(error)) or type(error).__name__
            raise TryAgain(f"the connection broke: {reason}") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise RequestFailed(f"the endpoint's answer cannot be read: {self._key.hide_in(str(error))}") from error
        return Reply(
            response.status_code,
            {name.lower(): self._key.hide_in(value) for name, value in response.headers.items()},
            self._key.hide_in(received.decode("utf-8", "replace")),
        )


class _NoServer(TryAgain):
    """No connection to the address."""


def open_endpoint(config: EndpointConfig) -> EndpointClient:
    """A client with the key in this process's environment; without one if there is none.

    Raises:
        DataProblem: the key cannot be sent, or would be readable on its way.
    """
    return EndpointClient(config, key=EndpointKey.from_environment())
