"""Further rows through REST: from typos to the next version, and what is refused."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server import StudioProcess

DONE = ("completed", "failed", "cancelled", "interrupted")


def wait(server: StudioProcess, address: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = server.get(address)
        if found["state"] in DONE:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


@pytest.fixture
def dataset(server: StudioProcess, tmp_path: Path) -> str:
    file = tmp_path / f"{tmp_path.name}.jsonl"
    rows = [{"prompt": f"Which gem lies in drawer {n}?", "completion": f"An opal of {n} carats."} for n in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    status, transfer = server.post("/api/datasets", {"source": str(file)})
    assert status == 202, transfer
    return str(wait(server, f"/api/transfers/{transfer['id']}")["dataset_id"])


def test_typos_become_the_next_version(server: StudioProcess, dataset: str) -> None:
    wanted = {"augmentation": {"kind": "typos", "share": 0.5}, "seed": 1}
    status, first = server.post(f"/api/datasets/{dataset}/augment/preview", wanted)
    assert (status, first["is_preview"]) == (202, True)
    shown = wait(server, f"/api/augmentations/{first['id']}")["preview"]
    assert [row["after"] != row["before"][0] for row in shown["rows"]] == [True] * 4
    assert shown["estimate"]["requests"] == 0
    status, made = server.post(f"/api/datasets/{dataset}/augment", wanted)
    assert status == 202
    ended = wait(server, f"/api/augmentations/{made['id']}")
    assert (ended["state"], ended["counts"]["generated"]) == ("completed", 4)
    assert [item["id"] for item in server.get(f"/api/datasets/{dataset}/augmentations")["augmentations"]] == [
        made["id"]
    ]
    rows = server.get(f"/api/augmentations/{made['id']}/rows?limit=2&offset=2")
    assert (len(rows["rows"]), rows["total"], rows["counts"]["generated"]) == (2, 4, 4)
    ids = [row["id"] for row in rows["rows"]]
    assert server.post(f"/api/augmentations/{made['id']}/decide", {"ids": ids, "status": "rejected"})[1]["decided"] == 2
    assert server.post(f"/api/augmentations/{made['id']}/decide", {"ids": "all", "status": "accepted"})[0] == 200
    assert server.get(f"/api/augmentations/{made['id']}/rows?status=accepted")["total"] == 2
    edited = {"messages": [{"role": "user", "content": "Gem?"}, {"role": "assistant", "content": "Opal."}]}
    assert server.post(f"/api/augmentations/{made['id']}/rows/{ids[0]}", edited)[0] == 200
    status, transfer = server.post(f"/api/augmentations/{made['id']}/accept")
    assert status == 202, transfer
    ended = wait(server, f"/api/transfers/{transfer['id']}")
    assert (ended["dataset_version"], ended["rows"]) == (2, 11)


def test_refusals_are_sentences(server: StudioProcess, dataset: str) -> None:
    status, answer = server.post(f"/api/datasets/{dataset}/augment", {"augmentation": {"kind": "typos", "rate": 5}})
    assert (status, [item["field"] for item in answer["fields"]]) == (400, ["augmentation.rate"])
    status, answer = server.post("/api/augmentations/nothing/accept")
    assert (status, "There is no run with the id" in answer["error"]) == (404, True)
    _, made = server.post(f"/api/datasets/{dataset}/augment", {"augmentation": {"kind": "case", "share": 1}})
    wait(server, f"/api/augmentations/{made['id']}")
    status, answer = server.post(f"/api/augmentations/{made['id']}/accept")
    assert (status, answer["error"]) == (400, "No row was accepted. Accept some of the rows that were made first.")
    assert server.post(f"/api/augmentations/{made['id']}/cancel")[0] == 409
    assert server.post(f"/api/augmentations/{made['id']}/decide", {"ids": ["x"], "status": "accepted"})[0] == 400
    assert server.post(f"/api/augmentations/{made['id']}/decide", {"ids": "all", "status": "edited"})[0] == 400
