"""REST routes of stored keys: what goes in never comes out, and every owner has their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from db.database import Database
from studio.api.errors import SentenceRoute
from studio.api.secret_routes import add_secret_routes
from studio.keys import Keys
from studio.secret_key import SecretKey

VALUE = "hf_abcdefghijklmnop1234"


def caller(request: Request) -> str:
    if "x-owner" not in request.headers:
        raise HTTPException(401, "Sign in first.")
    return request.headers["x-owner"]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    yield Keys(database, SecretKey.from_environment({}, home=tmp_path))
    database.close()


@pytest.fixture
def ana(keys: Keys) -> TestClient:
    return client_of(keys, owner="ana")


def client_of(keys: Keys, *, owner: str) -> TestClient:
    router = APIRouter(prefix="/api", route_class=SentenceRoute)
    add_secret_routes(router, keys, Depends(caller))
    app = FastAPI(routes=router.routes)
    return TestClient(app, base_url="http://127.0.0.1", headers={"x-owner": owner} if owner else {})


def listed(client: TestClient) -> list[tuple[str, str]]:
    return [(secret["name"], secret["last_four"]) for secret in client.get("/api/secrets").json()["secrets"]]


def test_saved_key_is_listed_without_its_value(ana: TestClient, keys: Keys) -> None:
    saved = ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    found = ana.get("/api/secrets")
    assert saved.status_code == found.status_code == 200
    body = found.json()
    assert body["secrets"] == [saved.json()]
    assert body["total"] == 1
    assert set(saved.json()) == {"name", "last_four", "is_readable", "created_at", "updated_at"}
    assert (saved.json()["last_four"], saved.json()["is_readable"]) == ("1234", True)
    assert saved.json()["updated_at"].endswith("Z")
    assert VALUE not in saved.text + found.text
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {"HF_TOKEN": VALUE}


def test_second_put_replaces_the_value(ana: TestClient, keys: Keys) -> None:
    for value in (VALUE, "hf_the_new_value_zyxw9876"):
        assert ana.put("/api/secrets/HF_TOKEN", json={"value": value}).status_code == 200
    assert listed(ana) == [("HF_TOKEN", "9876")]
    assert keys.environment_for(["HF_TOKEN"], owner="ana") == {"HF_TOKEN": "hf_the_new_value_zyxw9876"}


def test_deleted_key_is_gone(ana: TestClient) -> None:
    ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    gone = ana.delete("/api/secrets/HF_TOKEN")
    assert (gone.status_code, gone.json()) == (200, {"name": "HF_TOKEN", "deleted": True})
    assert listed(ana) == []
    again = ana.delete("/api/secrets/HF_TOKEN")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert again.json()["error"] == again.json()["detail"]


def test_owners_have_their_own_keys(ana: TestClient, keys: Keys) -> None:
    ben = client_of(keys, owner="ben")
    ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    assert listed(ben) == []
    assert ben.delete("/api/secrets/HF_TOKEN").status_code == 404
    ben.put("/api/secrets/HF_TOKEN", json={"value": "hf_of_ben_qrstuvwxyz5678"})
    assert (listed(ana), listed(ben)) == ([("HF_TOKEN", "1234")], [("HF_TOKEN", "5678")])


def test_stranger_is_asked_to_sign_in(keys: Keys) -> None:
    stranger = client_of(keys, owner="")
    assert stranger.get("/api/secrets").status_code == 401
    assert stranger.put("/api/secrets/HF_TOKEN", json={"value": VALUE}).status_code == 401
    assert stranger.delete("/api/secrets/HF_TOKEN").status_code == 401


def test_value_never_comes_back_by_its_name(ana: TestClient) -> None:
    ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    assert ana.get("/api/secrets/HF_TOKEN").status_code == 405


def test_refused_key_names_every_wrong_field(ana: TestClient) -> None:
    answer = ana.put("/api/secrets/LD_PRELOAD", json={"value": f"{VALUE}\n"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_config")
    assert [field["field"] for field in answer.json()["fields"]] == ["name", "value"]
    assert VALUE not in answer.text
    assert listed(ana) == []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"value": [VALUE]}),
        json.dumps({"value": {"text": VALUE}}),
        json.dumps({"token": VALUE}),
        json.dumps({VALUE: 1}),
        json.dumps([VALUE]),
        json.dumps(VALUE),
        f'{{"value": "{VALUE}"',
        f"value={VALUE}",
        json.dumps({"value": None}),
        "",
    ],
)
def test_malformed_body_is_a_sentence_that_does_not_repeat_it(ana: TestClient, body: str) -> None:
    answer = ana.put("/api/secrets/HF_TOKEN", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert VALUE not in answer.text
    assert "Traceback" not in answer.text
    assert listed(ana) == []


def test_value_with_half_a_character_is_a_sentence(ana: TestClient) -> None:
    body = b'{"value": "hf_\\ud800"}'
    answer = ana.put("/api/secrets/HF_TOKEN", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "value" in answer.json()["error"]


@pytest.mark.parametrize("name", ["hf_token", "HF%00TOKEN", "%2e%2e%2fA_KEY", "PATH", "A" * 3000 + "_KEY"])
def test_odd_name_is_refused_and_not_found(ana: TestClient, name: str) -> None:
    saved: Any = ana.put(f"/api/secrets/{name}", json={"value": VALUE})
    assert saved.status_code in (400, 404)
    assert ana.delete(f"/api/secrets/{name}").status_code == 404


def test_lost_key_file_is_shown_and_saving_again_mends_it(ana: TestClient, tmp_path: Path) -> None:
    ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    (tmp_path / "secret.key").unlink()
    assert [secret["is_readable"] for secret in ana.get("/api/secrets").json()["secrets"]] == [False]
    assert ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE}).json()["is_readable"] is True


def test_damaged_key_file_is_a_sentence(ana: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("half a k")
    answer = ana.put("/api/secrets/HF_TOKEN", json={"value": VALUE})
    assert (answer.status_code, answer.json()["code"]) == (400, "storage_failed")
    assert "Restore that file from a copy, or delete it" in answer.json()["error"]
    assert VALUE not in answer.text
