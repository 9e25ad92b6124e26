"""Answers requests on standard input with messages on standard output, one JSON object a line."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.errors import UserError

logger = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], None]


class QuitRequest(BaseModel):
    """End the process."""

    op: Literal["quit"]


class _HasId(Protocol):
    @property
    def id(self) -> str | int: ...


Request = TypeVar("Request", bound=_HasId)


class LineServer(Generic[Request]):
    """Reads requests of one union of types, and hands each to `handle`, which may send messages before it returns the
    last one's content. A request that fails is answered with an error; the process lives on."""

    def __init__(
        self,
        send: Send,
        requests: TypeAdapter[Request | QuitRequest],
        handle: Callable[[Request, Send], dict[str, Any]],
    ) -> None:
        self.send = send
        self.requests = requests
        self.handle = handle

    def serve(self, lines: Iterable[str]) -> None:
        """Answer each line until one asks to quit or the input ends."""
        for line in lines:
            if not line.strip():
                continue
            try:
                request = self.requests.validate_json(line)
            except ValidationError as error:
                self._send_error(_id_of(line), "invalid_request", _first_problem(error))
                continue
            if isinstance(request, QuitRequest):
                return
            self._answer(request)

    def _answer(self, request: Request) -> None:
        try:
            last = self.handle(request, lambda message: self.send({"id": request.id, **message}))
        except UserError as error:
            self._send_error(request.id, error.code, str(error), field=error.field)
        except Exception as error:
            logger.exception("request %s failed", request.id)
            self._send_error(request.id, "unexpected_error", f"{type(error).__name__}: {error}")
        else:
            self.send({"id": request.id, "event": "done", **last})

    def _send_error(self, request_id: str | int | None, code: str, message: str, *, field: str = "") -> None:
        self.send({"id": request_id, "event": "error", "code": code, "message": message, "field": field})


def serve_standard_streams(make: Callable[[Send], LineServer[Any]]) -> int:
    """Serve standard input on standard output; whatever a library prints goes to standard error."""
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    server = make(lambda message: protocol.write(json.dumps(message, ensure_ascii=False) + "\n") and None)
    # Line by line: iterating over a text stream would read ahead.
    server.serve(iter(sys.stdin.readline, ""))
    return 0


def _id_of(line: str) -> str | int | None:
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, (str, int)) else None


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    # The first part is the operation's name, by which the union is told apart.
    field = ".".join(str(part) for part in detail["loc"][1:])
    return f"{field}: {detail['msg']}" if field else detail["msg"]
