"""Exports through REST: a finished run becomes files in a real child, proven, listed and downloaded."""

import hashlib
import io
import json
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
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
    assert [artifact["kind"] for artifact in done["artifacts"]] == ["merged", "card"]
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
        ({"destinations": ["ftp://x/y"]}, "Nothing can be delivered to ftp://"),
    ):
        status, body = server.post("/api/exports", {"job_id": run["job_id"], **change})
        assert status == 400, body
        assert told in json.dumps(body)
    status, body = server.post("/api/exports", {"job_id": "nobody"})
    assert status == 404, body
    status, body = server.post("/api/exports", {})
    assert status == 400, body
    assert server.get(f"/api/exports?job_id={run['job_id']}&limit=1")["limit"] == 1


def test_single_file_comes_in_the_range_that_is_asked_for(server: StudioProcess, run: dict[str, Any]) -> None:
    _, export = server.post("/api/exports", {"job_id": run["job_id"], "formats": ["adapter"]})
    done = wait_for(server, export)
    assert done["state"] == "completed", done["error"]
    adapter = next(artifact for artifact in done["artifacts"] if artifact["kind"] == "adapter")
    files = {file["name"]: file for file in adapter["files"]}
    weights = files["adapter_model.safetensors"]
    assert weights["proven"] is True
    assert "optimizer.pt" not in files
    request = urllib.request.Request(server.url + weights["url"], headers={"Range": "bytes=8-15"})
    with urllib.request.urlopen(request) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 8-15/{weights['size_bytes']}"
        part = response.read()
    with urllib.request.urlopen(server.url + weights["url"]) as response:
        assert response.read()[8:16] == part
    outside = server.url + f"/api/artifacts/{adapter['id']}/files/..%2Fconfig.json"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(outside)


def test_proven_files_go_to_a_folder_with_a_manifest(
    server: StudioProcess, run: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "published"
    body = {"job_id": run["job_id"], "formats": ["adapter", "merged"], "destinations": [str(target)]}
    _, export = server.post("/api/exports", body)
    done = wait_for(server, export)
    assert done["state"] == "completed", done["error"]
    assert list(done["delivered"]) == [f"file://{target}"]
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    listed = {file["path"]: file for file in manifest["files"]}
    found = {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}
    assert found == {*listed, "manifest.json"}
    # The merged model is what the address loads; the adapter has a folder.
    assert {"model.safetensors", "config.json", "adapter/adapter_model.safetensors", "README.md"} <= found
    for name, file in listed.items():
        content = (target / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
    assert str(server.home) not in "".join(file.read_text("utf-8", "ignore") for file in target.rglob("*.json"))


def test_run_exports_what_it_was_told_to_when_it_ends(server: StudioProcess, tmp_path: Path) -> None:
    target = tmp_path / "after"
    export = {"formats": ["adapter"], "destinations": [str(target)]}
    status, job = server.post("/api/jobs", {**demo_document(max_steps=2, epochs=1), "export": export})
    assert status == 201, job
    ended = server.wait_for(job["job_id"], "completed")
    queued = server.get(f"/api/exports?job_id={ended['job_id']}")["exports"]
    assert [item["formats"] for item in queued] == [["adapter"]]
    done = wait_for(server, queued[0])
    assert done["state"] == "completed", done["error"]
    assert (target / "adapter_model.safetensors").exists()


def test_adapter_from_elsewhere_is_exported(server: StudioProcess, run: dict[str, Any], tmp_path: Path) -> None:
    # As somebody else would have it: a folder that names its base model.
    shutil.copytree(server.home / "runs" / run["job_id"] / "adapter", tmp_path / "theirs")
    settings = tmp_path / "theirs" / "adapter_config.json"
    base = str(run["config"]["model"]["base_model"])
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "base_model_name_or_path": base}))
    status, export = server.post("/api/exports", {"source": str(tmp_path / "theirs"), "formats": ["merged"]})
    assert status == 202, export
    done = wait_for(server, export)
    assert done["state"] == "completed", done["error"]
    assert (done["job_id"], done["name"]) == (None, "theirs")
    status, body = server.post("/api/exports", {"source": str(tmp_path / "nowhere"), "formats": ["merged"]})
    assert (status, "is no folder here" in body["error"]) == (400, True)
