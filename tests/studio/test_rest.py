"""The REST door of a real server: statuses, sentences, deltas, guards."""

import http.client
import io
import json
import urllib.request
import zipfile
from typing import Any

import pytest

from tests.documents import demo_document
from tests.server import StudioProcess


@pytest.fixture(scope="module")
def finished(server: StudioProcess) -> dict[str, Any]:
    """A run of four steps that went through."""
    status, job = server.post("/api/jobs", demo_document(max_steps=4, epochs=1))
    assert status == 201, job
    return server.wait_for(job["job_id"], "completed")


def raw(server: StudioProcess, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_health(server: StudioProcess) -> None:
    assert server.get("/health") == {"status": "healthy", "service": "studio", "services": ["training", "export"]}


def test_run_goes_from_submission_to_results(server: StudioProcess, finished: dict[str, Any]) -> None:
    assert finished["step"] == finished["total_steps"] == 4
    assert finished["progress"] == 1.0
    assert [artifact["kind"] for artifact in finished["artifacts"]] == ["adapter"]
    history = server.get(f"/api/jobs/{finished['id']}/events")["events"]
    assert [row["to"] for row in history] == ["queued", "starting", "running", "completed"]


def test_finished_run_shows_what_it_took(server: StudioProcess, finished: dict[str, Any]) -> None:
    resources = finished["resources"]
    assert resources["memory"]["measured"] > 0
    assert resources["memory"]["since"] == "training"
    assert resources["step_seconds"]["measured"] > 0
    assert resources["tokens_per_second"] > 0
    # Nothing was predicted for it.
    assert resources["memory"]["predicted"] is resources["step_seconds"]["predicted"] is finished["estimate"] is None
    assert server.get("/api/jobs")["jobs"][0]["resources"] == resources


def test_every_logged_step_is_stored_once(server: StudioProcess, finished: dict[str, Any]) -> None:
    series = server.get(f"/api/jobs/{finished['id']}/metrics")["series"]
    assert [step for step, _ in series["loss"]] == [1, 2, 3, 4]


def test_metrics_after_the_cursor_are_empty(server: StudioProcess, finished: dict[str, Any]) -> None:
    cursor = server.get(f"/api/jobs/{finished['id']}/metrics")["cursor"]
    assert server.get(f"/api/jobs/{finished['id']}/metrics?since={cursor}") == {"series": {}, "cursor": cursor}


def test_nothing_new_is_204(server: StudioProcess, finished: dict[str, Any]) -> None:
    live = server.get(f"/api/jobs/{finished['id']}/live")
    query = f"revision={live['job']['revision']}&since={live['since']}&log={live['log_offset']}"
    assert server.get(f"/api/jobs/{finished['id']}/live?{query}") is None
    version = server.get("/api/jobs")["version"]
    assert server.get(f"/api/jobs?version={version}") is None


def test_adapter_downloads_as_a_zip(server: StudioProcess, finished: dict[str, Any]) -> None:
    with urllib.request.urlopen(server.url + finished["artifacts"][0]["url"]) as response:
        archive = zipfile.ZipFile(io.BytesIO(response.read()))
    assert archive.testzip() is None
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= set(archive.namelist())
    base = json.loads(archive.read("adapter_config.json"))["base_model_name_or_path"]
    assert base == finished["base_model"]


def test_finished_run_cannot_be_cancelled(server: StudioProcess, finished: dict[str, Any]) -> None:
    status, body = server.post(f"/api/jobs/{finished['id']}/cancel")
    assert status == 409
    assert "is completed; it cannot become stopping" in body["error"]
    assert body["error"] == body["detail"]


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"training": {"learning_rate": "abc"}}, "training.learning_rate", "it was 'abc'"),
        ({"training": {"learning_rte": 1}}, "training.learning_rte", "Did you mean training.learning_rate?"),
        ({"learning_rate": 1}, "learning_rate", "Did you mean training.learning_rate?"),
        ({"model": {"base_model": "no such model"}}, "model.base_model", "neither a folder here nor a Hub id"),
        ({"model": {"base_model": "/nowhere"}}, "model.base_model", "holds no config.json"),
        ({"dataset": {"path": "/nowhere.jsonl"}}, "dataset.path", "There is no file at /nowhere.jsonl"),
        ({"dataset": {}}, "dataset.path", "is required"),
    ],
)
def test_bad_configuration_is_a_sentence_with_its_field(
    server: StudioProcess, change: dict[str, Any], field: str, sentence: str
) -> None:
    status, body = server.post("/api/jobs", {**demo_document(), **change})
    assert status == 400
    assert {"field": field}.items() <= body["fields"][0].items()
    assert sentence in body["fields"][0]["message"]
    assert body["error"] == body["detail"]


def test_unknown_run_is_404(server: StudioProcess) -> None:
    status, body = server.post("/api/jobs/nope/cancel")
    assert (status, body["code"]) == (404, "not_found")


def test_body_that_is_not_json_is_400(server: StudioProcess) -> None:
    status, body = server.post("/api/jobs", ["not", "an", "object"])
    assert status == 400
    assert "Traceback" not in json.dumps(body)


def test_request_from_another_site_is_refused(server: StudioProcess) -> None:
    for path in ("/api/jobs", "/gradio_api/upload", "/gradio_api/component_server"):
        status, body = server.post(path, {}, Origin="http://evil.example")
        assert (status, body["error"]) == (403, "This request came from another site's page and was refused.")


def test_unknown_host_is_refused(server: StudioProcess) -> None:
    response, _ = raw(server, "/health", Host="evil.example")
    assert response.status == 400


def test_responses_carry_the_security_headers(server: StudioProcess) -> None:
    response, _ = raw(server, "/")
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("X-Frame-Options") == "SAMEORIGIN"


def test_internal_routes_are_not_documented_in_public(server: StudioProcess) -> None:
    _, body = raw(server, "/openapi.json")
    assert b'"paths"' not in body


def test_activity_tells_of_the_run_and_can_be_read(server: StudioProcess, finished: dict[str, Any]) -> None:
    feed = server.get("/api/activity")
    told = [entry["event_type"] for entry in feed["activities"] if entry["entity_id"] == finished["id"]]
    assert told == ["job_completed", "job_started", "job_created"]
    entry = feed["activities"][0]
    assert server.post(f"/api/activity/{entry['id']}/mark-read") == (200, {"id": entry["id"], "read": True})
    server.post("/api/activity/mark-all-read")
    assert server.get("/api/activity?unread_only=true")["activities"] == []
