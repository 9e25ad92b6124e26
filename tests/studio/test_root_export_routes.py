"""Exports at the addresses and in the words of the first releases."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.documents import demo_document
from tests.server import StudioProcess


@pytest.fixture(scope="module")
def run(server: StudioProcess) -> dict[str, Any]:
    status, job = server.post("/api/jobs", demo_document(max_steps=2, epochs=1))
    assert status == 201, job
    return server.wait_for(job["job_id"], "completed")


def export_now(server: StudioProcess, body: dict[str, Any]) -> tuple[int, Any]:
    """POST /export, asked again by its id while it is not done."""
    status, answer = server.post("/export", body)
    deadline = time.monotonic() + 180
    while status == 202 and time.monotonic() < deadline:
        time.sleep(1)
        if server.get(f"/exports/{answer['export_id']}")["latest_export"]["status"] != "running":
            status, answer = server.post("/export", body)
    return status, answer


def test_adapter_is_there_at_once(server: StudioProcess, run: dict[str, Any]) -> None:
    started = time.monotonic()
    status, answer = server.post("/export", {"job_id": run["job_id"], "export_type": "adapter"})
    assert (status, answer["success"], answer["export_type"]) == (200, True, "adapter")
    assert time.monotonic() - started < 5
    with urllib.request.urlopen(server.url + answer["adapter_path"]) as response:
        assert response.read(2) == b"PK"


def test_merged_model_is_made_and_then_known(server: StudioProcess, run: dict[str, Any]) -> None:
    status, answer = export_now(server, {"job_id": run["job_id"], "export_type": "merged", "hf_token": None})
    assert status == 200, answer
    assert answer["merged_path"].endswith("/download")
    shown = server.get(f"/exports/{run['job_id']}")
    assert shown["artifacts"]["file"]["merged"] == answer["merged_path"]
    assert shown["artifacts"]["hf"] == {"adapter": None, "merged": None, "gguf": None}
    latest = shown["latest_export"]
    assert (latest["type"], latest["status"], latest["destination"]) == ("merged", "completed", ["local"])
    assert {artifact["type"] for artifact in latest["artifacts"]} == {"merged", "card"}
    assert server.get(f"/exports/{latest['export_id']}") == shown


def test_exportable_runs_are_a_bare_list(server: StudioProcess, run: dict[str, Any]) -> None:
    listed = {item["job_id"]: item for item in server.get("/exports")}
    mine = listed[run["job_id"]]
    assert set(mine) == {
        "job_id", "job_name", "user_id", "status", "adapter_path", "base_model_id", "modality", "artifacts",
    }  # fmt: skip
    assert (mine["modality"], mine["status"]) == ("text", "completed")


def test_export_is_acknowledged(server: StudioProcess, run: dict[str, Any]) -> None:
    for path, body in (
        ("/exports", {"job_id": run["job_id"], "export_type": "adapter", "destination": ["gcs"]}),
        (f"/jobs/{run['job_id']}/export", {"export_type": "adapter", "destination": "local"}),
    ):
        status, answer = server.post(path, body)
        assert status == 200, answer
        assert answer["message"] == f"Export job {answer['export_id']} started successfully"
        assert answer["export_id"] in {item["export_id"] for item in server.get("/api/exports")["exports"]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"destination": ["hf_hub"]}, "hf_repo_id: is required when the destination is hf_hub"),
        ({"destination": ["ftp"]}, "'ftp' is none of gcs, hfhub, hf_hub, s3, local"),
        ({"destination": "s3"}, "Set S3_EXPORT_BUCKET_NAME"),
        ({"export_type": "onyx"}, "formats"),
        ({"export_typ": "gguf"}, "export_typ: is no setting of an export"),
    ],
)
def test_wrong_request_is_a_sentence(
    server: StudioProcess, run: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    status, body = server.post("/exports", {"job_id": run["job_id"], "export_type": "merged", **change})
    assert status == 400
    assert sentence in body["error"]
    assert body["error"] == body["detail"]


def test_unknown_run_is_not_found(server: StudioProcess) -> None:
    assert server.post("/export", {"job_id": "nobody", "export_type": "merged"})[0] == 404
    assert server.post("/exports", {"export_type": "merged"})[0] == 400
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.get("/exports/nobody")


def test_token_of_a_request_is_kept_as_a_secret(server: StudioProcess, run: dict[str, Any]) -> None:
    token = "hf_" + "z" * 34
    body = {"job_id": run["job_id"], "export_type": "adapter", "hf_token": token}
    status, answer = server.post("/exports", body)
    assert status == 200, answer
    stored = {secret["name"]: secret for secret in server.get("/api/secrets")["secrets"]}
    assert stored["HF_TOKEN"]["last_four"] == "zzzz"
    assert token not in json.dumps(server.get(f"/api/exports/{answer['export_id']}"))
    folder = server.home / "runs" / answer["export_id"]
    assert token not in "".join(file.read_text("utf-8", "ignore") for file in folder.glob("*.json*"))
