"""Turns errors into answers: a status, and the same sentence as `error` and `detail`."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from db.jobs import NotFound
from db.states import InvalidTransition
from pipeline.errors import InvalidConfig, UserError
from pipeline.exporters.gguf.tools import GgufNotInstalled
from studio.preflight import PreflightFailed
from studio.registry import Forbidden, InUse
from studio.scheduler import DeviceBusy
from studio.smoke import TrialCancelled

_STATUS: dict[type[UserError], int] = {
    NotFound: 404,
    Forbidden: 403,
    InvalidTransition: 409,
    InUse: 409,
    DeviceBusy: 409,
    TrialCancelled: 409,
    GgufNotInstalled: 501,
}


class SentenceRoute(APIRoute):
    """A route whose errors are sentences; no traceback leaves the server."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler, with errors translated."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except UserError as error:
                return error_response(error)
            except RequestValidationError as error:
                return _malformed(error)
            except HTTPException as error:
                return _body(error.status_code, str(error.detail))

        return answer


def error_response(error: UserError) -> JSONResponse:
    """The answer to a user's error."""
    extra: dict[str, Any] = {"code": error.code}
    if isinstance(error, InvalidConfig):
        extra["fields"] = [{"field": problem.field, "message": problem.message} for problem in error.problems]
    if isinstance(error, PreflightFailed):
        extra["findings"] = [finding.model_dump(mode="json") for finding in error.findings]
        extra["fields"] = [{"field": item.field, "message": item.message} for item in error.findings]
    return _body(_STATUS.get(type(error), 400), str(error), **extra)


def _malformed(error: RequestValidationError) -> JSONResponse:
    fields = [
        {"field": ".".join(str(part) for part in item["loc"][1:]), "message": item["msg"]} for item in error.errors()
    ]
    return _body(400, "; ".join(f"{item['field']}: {item['message']}" for item in fields), fields=fields)


def _body(status: int, text: str, **extra: Any) -> JSONResponse:
    return JSONResponse({"error": text, "detail": text, **extra}, status_code=status)
