"""Who is asking: the local user, or the bearer of the studio's access token."""

import hmac
import logging
import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.settings import Settings

logger = logging.getLogger(__name__)
LOCAL_OWNER = "local"
COOKIE = "lapidary_token"
_COOKIE_SECONDS = 30 * 24 * 3600
_SIGN_IN = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Lapidary: sign in</title>
<style>body{font:16px/1.5 system-ui;max-width:28rem;margin:12vh auto;padding:0 16px;color-scheme:light dark}
input,button{font:inherit;padding:8px 12px;width:100%;box-sizing:border-box;margin-top:8px}</style>
<h1>Sign in to Lapidary</h1><p>This studio can be reached from the network, so it asks for its access token. It was
printed when the studio started, or set as <code>LAPIDARY_TOKEN</code>.</p>
<form><label for="token">Access token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form></html>"""


class Authenticator:
    """Knows the caller of a request. On loopback that is this machine's user; elsewhere a token is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._open = settings.is_local and settings.access_token is None
        self.token = settings.access_token if settings.access_token is not None else secrets.token_urlsafe(24)
        self.secure_cookie = settings.on_space

    @property
    def needs_token(self) -> bool:
        """Whether callers must show the token."""
        return not self._open

    def identify(self, connection: HTTPConnection) -> str | None:
        """The owner that the caller acts for, or None for a stranger."""
        if self._open:
            return LOCAL_OWNER
        headers = connection.headers
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = bearer if scheme.lower() == "bearer" else _cookie(headers)
        return LOCAL_OWNER if self.accepts(shown) else None

    def accepts(self, token: str) -> bool:
        """Whether this is the token; takes the same time for any wrong one."""
        return hmac.compare_digest(token.encode(), self.token.encode())


class TokenLogin:
    """Turns `?token=…` into a cookie and a clean address, so that the token stays out of history and logs."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "http" and scope["method"] == "GET" and self.authenticator.needs_token:
            query = QueryParams(scope["query_string"])
            if "token" in query and self.authenticator.accepts(query["token"]):
                response = RedirectResponse(scope["path"], status_code=303)
                response.set_cookie(
                    COOKIE,
                    query["token"],
                    max_age=_COOKIE_SECONDS,
                    httponly=True,
                    secure=self.authenticator.secure_cookie,
                    samesite="none" if self.authenticator.secure_cookie else "lax",
                )
                await response(scope, receive, send)
                return
            if "text/html" in Headers(scope=scope).get("accept", "") and self._is_stranger(scope):
                await HTMLResponse(_SIGN_IN, status_code=401)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_stranger(self, scope: Scope) -> bool:
        return self.authenticator.identify(HTTPConnection(scope)) is None


def _cookie(headers: Headers) -> str:
    morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return "" if morsel is None else morsel.value
