"""Who may come in: anyone on loopback, only the bearer of the token elsewhere."""

import dataclasses
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from studio.auth import Authenticator, TokenLogin
from studio.settings import Settings

LOCAL = Settings(home=Path("/nowhere"), database_url="sqlite://")
OPEN_TO_THE_NETWORK = dataclasses.replace(LOCAL, host="0.0.0.0", access_token="s3cret")


def client_of(settings: Settings) -> TestClient:
    authenticator = Authenticator(settings)

    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(authenticator.identify(request)))

    middleware = [Middleware(TokenLogin, authenticator=authenticator)]
    return TestClient(Starlette(routes=[Route("/", who)], middleware=middleware), base_url="http://127.0.0.1")


def test_loopback_needs_no_token() -> None:
    assert client_of(LOCAL).get("/").text == "local"


def test_stranger_from_the_network_is_nobody() -> None:
    assert client_of(OPEN_TO_THE_NETWORK).get("/").text == "None"


@pytest.mark.parametrize(("token", "who"), [("s3cret", "local"), ("wrong", "None"), ("", "None")])
def test_bearer_of_the_token_is_known(token: str, who: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert client_of(OPEN_TO_THE_NETWORK).get("/", headers=headers).text == who


def test_address_with_the_token_signs_the_browser_in() -> None:
    client = client_of(OPEN_TO_THE_NETWORK)
    response = client.get("/?token=s3cret", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert "httponly" in response.headers["set-cookie"].lower()
    assert client.get("/").text == "local"


def test_wrong_token_in_the_address_signs_nobody_in() -> None:
    assert client_of(OPEN_TO_THE_NETWORK).get("/?token=wrong").text == "None"


def test_browser_of_a_stranger_gets_a_page_to_sign_in() -> None:
    response = client_of(OPEN_TO_THE_NETWORK).get("/?token=wrong", headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert "Access token" in response.text
    assert "wrong" not in response.text


def test_space_always_asks() -> None:
    space = Settings.from_environment({"SPACE_ID": "ana/studio", "SPACE_HOST": "ana-studio.hf.space"})
    assert (space.home, space.journal_mode) == (Path("/data"), "DELETE")
    assert Authenticator(space).needs_token


def test_generated_tokens_differ() -> None:
    space = Settings.from_environment({"SPACE_ID": "ana/studio"})
    assert Authenticator(space).token != Authenticator(space).token
