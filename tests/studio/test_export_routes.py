"""Exports through REST: a finished run becomes files in a real child, proven, listed and downloaded."""

import io
import json
import time
import urllib.request
import zipfile
from typing import Any

import pytest

from tests.documents import demo_document
from tests.server import StudioProcess


@pytest.fixture(scope="module")
def run(server: StudioProcess) -> dict[str, Any]:
    status, job = server.post("/api/jobs", demo_document(max_steps=2, epochs=1))
    assert status == 201, job
    return server.wait_for(job["job_id"], "completed")


def wait_for(server: StudioProcess, export: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        found: dict[str, Any] = server.get(f"/api/exports/{export['export_id']}")
        if found["state"] in ("completed", "failed", "cancelled"):
            return found
        time.sleep(0.2)
    raise AssertionError(f"the export is {found['state']}: {found['message']}")


def test_run_is_exported_and_its_files_come_as_a_zip(server: StudioProcess, run: dict[str, Any]) -> None:
    status, export = server.post("/api/exports", {"job_id": run["job_id"], "formats": ["merged"]})
    assert status == 202, export
    assert export["state"] == "queued"
    assert export["job_id"] == run["job_id"]
    done = wait_for(server, export)
    assert done["state"] == "completed", done["error"]
    assert [artifact["kind"] for artifact in done["artifacts"]] == ["merged"]
    assert {check["name"]: check["passed"] for check in done["parity"]["merged"]["checks"]} == {
        "token_ids": True,
        "template": True,
        "log_probabilities": True,
        "end_of_turn": True,
    }
    with urllib.request.urlopen(server.url + done["artifacts"][0]["url"]) as response:
        archive = zipfile.ZipFile(io.BytesIO(response.read()))
    assert {"config.json", "model.safetensors", "tokenizer.json", "parity.json"} <= set(archive.namelist())
    listed = server.get(f"/api/exports?job_id={run['job_id']}")
    assert [item["id"] for item in listed["exports"]] == [done["id"]]
    # The run is as it was.
    assert server.get(f"/api/jobs/{run['job_id']}")["state"] == "completed"


def test_wrong_values_are_sentences(server: StudioProcess, run: dict[str, Any]) -> None:
    for change, told in (
        ({"formats": ["onyx"]}, "formats"),
        ({"quantizations": ["q9"]}, "quantizations"),
        ({"format": ["merged"]}, "is no setting of an export"),
        ({"checkpoint": "../.."}, "there is no checkpoint"),
    ):
        status, body = server.post("/api/exports", {"job_id": run["job_id"], **change})
        assert status == 400, body
        assert told in json.dumps(body)
    status, body = server.post("/api/exports", {"job_id": "nobody"})
    assert status == 404, body
    status, body = server.post("/api/exports", {})
    assert status == 400, body
    assert server.get(f"/api/exports?job_id={run['job_id']}&limit=1")["limit"] == 1
