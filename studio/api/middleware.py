"""Guards in front of every route: the caller's origin, and headers that keep pages from being framed or sniffed."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginGuard:
    """Refuses requests that change something and come from another site's page (CSRF)."""

    def __init__(self, app: ASGIApp, *, trust_forwarded_host: bool) -> None:
        self.app = app
        self.trust_forwarded_host = trust_forwarded_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS and not self._same_origin(scope):
            text = "This request came from another site's page and was refused."
            await JSONResponse({"error": text, "detail": text}, status_code=403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _same_origin(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return True
        hosts = [headers.get("host", "")]
        if self.trust_forwarded_host:
            hosts.append(headers.get("x-forwarded-host", ""))
        return urlsplit(origin).netloc in hosts


class SecurityHeaders:
    """Adds headers that a browser obeys. A Space is shown in a frame, so framing is only refused elsewhere."""

    def __init__(self, app: ASGIApp, *, allow_framing: bool) -> None:
        self.app = app
        self.headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
        if not allow_framing:
            self.headers["X-Frame-Options"] = "SAMEORIGIN"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)
