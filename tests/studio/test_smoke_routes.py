"""POST /api/experiments/smoke of a real server."""

from concurrent.futures import ThreadPoolExecutor

from tests.documents import demo_document
from tests.server import StudioProcess


def test_trial_through_rest_answers_with_the_report(server: StudioProcess) -> None:
    document = demo_document(per_device_batch_size=4)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: server.post("/api/experiments/smoke", document), range(2)))
    (status, report), (refused, busy) = sorted(answers, key=lambda answer: answer[0])
    assert status == 200 and report["passed"] and report["findings"] == []
    assert report["rows"] == 4 and report["loss"] > 0 and report["peak_memory"] > 1e8
    assert refused == 409 and busy["code"] == "device_busy" and "Wait until it is done" in busy["error"]
    assert server.get("/api/jobs")["total"] == 0


def test_document_with_problems_is_refused_before_anything_is_loaded(server: StudioProcess) -> None:
    status, body = server.post("/api/experiments/smoke", {"name": "x"})
    assert status == 400 and {field["field"] for field in body["fields"]} >= {"model", "dataset"}
    status, body = server.post("/api/experiments/smoke", {**demo_document(), "model": {"base_model": "/nowhere"}})
    assert status == 400 and body["findings"][0]["code"] == "model_not_found"


def test_cancel_without_a_trial_says_so(server: StudioProcess) -> None:
    assert server.post("/api/experiments/smoke/cancel") == (200, {"cancelled": False})
