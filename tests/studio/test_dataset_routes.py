"""The REST and Gradio doors to data sets of a real server."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gradio_client import Client

from tests.documents import DEMO_MODEL
from tests.server import StudioProcess

ROWS = [{"question": f"How heavy is stone {n}?", "answer": f"It weighs {n} carats."} for n in range(40)]
TEXT = "".join(json.dumps(row) + "\n" for row in [*ROWS, ROWS[0], {"question": "And this?", "answer": ""}])


def wait_for(server: StudioProcess, transfer: dict[str, Any], *, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while transfer["state"] not in ("completed", "failed", "interrupted", "cancelled"):
        assert time.monotonic() < deadline, transfer
        time.sleep(0.2)
        transfer = server.get(f"/api/transfers/{transfer['id']}")
    return transfer


def send(server: StudioProcess, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(server.url + path, data=body)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def dataset(server: StudioProcess) -> dict[str, Any]:
    status, transfer = send(server, "/api/datasets/upload?name=stones.jsonl", TEXT.encode())
    assert status == 202
    done = wait_for(server, transfer)
    assert done["state"] == "completed", done
    found: dict[str, Any] = server.get(f"/api/datasets/{done['dataset_id']}")
    return found


def test_uploaded_file_becomes_a_data_set_with_the_contracts_fields(dataset: dict[str, Any]) -> None:
    fields = (
        "id project_id name version description modality size_bytes num_samples manifest_path storage_path checksum"
    )
    fields += " integrity_checked integrity_passed integrity_report statistics tags metadata created_at updated_at"
    assert set(fields.split()) <= set(dataset)
    assert (dataset["name"], dataset["version"], dataset["num_samples"]) == ("stones", "1", 42)
    assert dataset["statistics"]["splits"] == ["train"]
    assert Path(dataset["manifest_path"]).is_file()


def test_list_is_searched_and_paged(server: StudioProcess, dataset: dict[str, Any]) -> None:
    found = server.get("/api/datasets?q=stone&limit=1")
    assert (found["total"], found["limit"], found["datasets"][0]["id"]) == (1, 1, dataset["id"])
    assert server.get("/api/datasets?modality=vision")["total"] == 0


def test_model_makes_each_data_set_say_whether_it_suits(server: StudioProcess, dataset: dict[str, Any]) -> None:
    model = quote(str(DEMO_MODEL), safe="")
    found = server.get(f"/api/datasets/{dataset['id']}?compatible_with_model={model}")["compatibility"]
    assert (found["compatible"], found["errors"]) == (True, [])
    assert found["warnings"] == ["1 of 42 rows cannot be used and are left out."]


def test_rows_are_shown_as_stored_and_as_examples(server: StudioProcess, dataset: dict[str, Any]) -> None:
    page = server.get(f"/api/datasets/{dataset['id']}/preview?offset=40&limit=5")
    assert page["total"] == 42
    assert page["rows"][0]["example"]["messages"][1]["content"] == "It weighs 0 carats."
    assert page["rows"][1]["problem"] == "answer is empty"


def test_row_is_shown_as_tokens(server: StudioProcess, dataset: dict[str, Any]) -> None:
    model = quote(str(DEMO_MODEL), safe="")
    shown = server.get(f"/api/datasets/{dataset['id']}/rows/3/tokens?base_model={model}")
    assert shown["sequences"][0]["tokens"][0]["text"] == "<bos>"


def test_flagged_rows_and_a_cleaned_copy_are_downloaded(server: StudioProcess, dataset: dict[str, Any]) -> None:
    with urllib.request.urlopen(f"{server.url}/api/datasets/{dataset['id']}/flags") as response:
        flags = [json.loads(line) for line in response.read().splitlines()]
    assert {(flag["row"], flag["code"]) for flag in flags} >= {(41, "duplicate_rows"), (42, "unusable_rows")}
    address = f"{server.url}/api/datasets/{dataset['id']}/cleaned?drop=duplicate_rows,unusable_rows"
    with urllib.request.urlopen(address) as response:
        assert [json.loads(line) for line in response.read().splitlines()] == ROWS
    status, body = send_get(server, f"/api/datasets/{dataset['id']}/cleaned?drop=nonsense")
    assert status == 400
    assert "nonsense" in body["error"]


def send_get(server: StudioProcess, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(server.url + path) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_mapping_that_is_wrong_is_explained(server: StudioProcess, dataset: dict[str, Any]) -> None:
    wrong = {"format": "text", "text": [{"kind": "column", "column": "anser"}]}
    status, body = server.post(f"/api/datasets/{dataset['id']}/mapping", wrong)
    assert status == 400
    assert "answer" in body["error"]
    status, body = server.post(f"/api/datasets/{dataset['id']}/mapping", {"format": "verse"})
    assert (status, body["fields"][0]["field"]) == (400, "format")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "source"), ({"source": "x.jsonl", "sourse": 1}, "sourse"), ({"source": "x", "max_rows": 0}, "max_rows")],
)
def test_bad_import_is_a_sentence_with_its_field(server: StudioProcess, body: dict[str, Any], field: str) -> None:
    status, answer = server.post("/api/datasets", body)
    assert (status, answer["fields"][0]["field"]) == (400, field)


def test_empty_upload_fails_with_its_reason(server: StudioProcess) -> None:
    _, transfer = send(server, "/api/datasets/upload?name=empty.csv", b"")
    failed = wait_for(server, transfer)
    assert failed["state"] in ("failed", "interrupted")
    assert "empty.csv" in failed["error"]["message"]


def test_import_is_cancelled(server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(400_000):
            out.write(f'{{"question": "How heavy is stone {number}?", "answer": "It weighs {number} carats."}}\n')
    _, transfer = server.post("/api/datasets", {"source": str(file)})
    status, _ = server.post(f"/api/transfers/{transfer['id']}/cancel")
    assert status == 200
    assert wait_for(server, transfer)["state"] == "cancelled"


def test_unknown_data_set_and_transfer_are_404(server: StudioProcess) -> None:
    for path in ("/api/datasets/none", "/api/transfers/none", "/api/datasets/none/preview"):
        assert send_get(server, path)[0] == 404


def test_gradio_client_imports_and_looks(server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(TEXT, encoding="utf-8")
    client = Client(server.url, verbose=False)
    transfer = client.predict({"source": str(file), "name": "from the client"}, api_name="/import_dataset")
    deadline = time.monotonic() + 60
    while transfer["state"] != "completed":
        assert time.monotonic() < deadline, transfer
        time.sleep(0.2)
        transfer = client.predict(transfer["id"], api_name="/transfer")
    page = client.predict(transfer["dataset_id"], 0, 2, api_name="/preview_dataset")
    assert [row["row"] for row in page["rows"]] == [1, 2]
    assert client.predict("from the client", api_name="/datasets")["total"] == 1
    client.close()
