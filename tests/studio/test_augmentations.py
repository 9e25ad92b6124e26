"""Further rows by real children: shown first, made once, reviewed, added as a version; and whose rows are whose."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from db.models import Dataset, Job
from db.states import RESTING, JobState
from pipeline.errors import DataProblem, InvalidConfig
from studio.registry import Forbidden
from studio.service import Studio
from tests.endpoint_server import MODEL, EndpointServer, Reply
from tests.services import import_file, open_studio, tick_until

KEY = "sk-test-0123456789/abcdef"
MARK = "never-to-be-sent"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "home") as studio:
        yield studio


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with EndpointServer(key=KEY) as running:
        yield running


def write_splits(folder: Path, *, train: int = 12, test: int = 4) -> Path:
    folder.mkdir()
    rows = [
        {"question": f"Which stone lies in drawer {n}?", "answer": f"Drawer {n} has an opal."} for n in range(train)
    ]
    held = [{"question": f"Which {MARK} stone is {n}?", "answer": f"Stone {n} is {MARK}."} for n in range(test)]
    for name, items in (("train", rows), ("test", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items), encoding="utf-8")
    return folder


@pytest.fixture
def dataset(studio: Studio, tmp_path: Path) -> Dataset:
    """Twelve training rows and four test rows."""
    return import_file(studio, write_splits(tmp_path / "stones"), description="About drawers.", tags=["gems"])


def paraphrases(server: EndpointServer, **settings: Any) -> dict[str, Any]:
    endpoint = {"base_url": server.base_url, "model": MODEL, "requests_per_minute": 100_000, "concurrent_requests": 1}
    return {"augmentation": {"kind": "paraphrase", "endpoint": endpoint, "share": 1, **settings}, "seed": 1}


def finish(studio: Studio, job: Job) -> Job:
    ended = tick_until(studio, job, *RESTING)
    assert ended.state == JobState.COMPLETED, ended.error_message
    return ended


def bodies(server: EndpointServer) -> list[str]:
    return [json.dumps(request.body) for request in server.received]


def stored_rows(dataset: Dataset) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(dataset.path) / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


def test_typos_are_shown_made_accepted_and_added(studio: Studio, dataset: Dataset) -> None:
    wanted = {"augmentation": {"kind": "typos", "share": 0.5}, "seed": 3}
    first = finish(studio, studio.augmentations.preview(dataset.id, wanted, owner="ana"))
    shown = studio.augmentations.preview_of(first)
    assert shown is not None
    assert (len(shown.rows), shown.estimate.rows, shown.training_rows, shown.other_rows) == (6, 6, 12, 4)
    made = finish(studio, studio.augmentations.start(dataset.id, wanted, owner="ana"))
    assert made.latest["generated"] == 6
    page = studio.augmentations.rows(made.id, owner="ana", limit=4)
    assert (len(page["rows"]), page["total"], page["counts"]["proposed"]) == (4, 6, 6)
    rejected = page["rows"][0]
    studio.augmentations.decide(made.id, [rejected["id"]], "rejected", owner="ana")
    assert studio.augmentations.decide(made.id, None, "accepted", owner="ana") == 5
    transfer = finish(studio, studio.augmentations.accept(made.id, owner="ana"))
    second = studio.registry.dataset(transfer.facts["dataset_id"], owner="ana")
    assert (second.name, second.version, second.splits) == ("stones", 2, {"train": 17, "test": 4})
    assert (second.usable_samples, second.format, second.tags) == (21, "messages", ["gems"])
    assert second.description == "About drawers. Version 1 with 5 rows added: 5 by slips of the keyboard."
    assert transfer.facts["added_rows"] == {"typos": 5}
    assert rejected["row"] not in stored_rows(second)
    assert [entry.name for entry in (studio.settings.uploads / "ana").iterdir()] == []


def test_evaluation_rows_are_never_sent_to_the_endpoint(
    studio: Studio, dataset: Dataset, server: EndpointServer
) -> None:
    studio.keys.save_secret("LAPIDARY_ENDPOINT_KEY", SecretStr(KEY), owner="ana")
    shown = finish(studio, studio.augmentations.preview(dataset.id, paraphrases(server), owner="ana"))
    assert len(server.received) == 10
    made = finish(studio, studio.augmentations.start(dataset.id, paraphrases(server), owner="ana"))
    assert len(server.received) == 10 + 12
    assert all(MARK not in body for body in bodies(server))
    assert KEY not in json.dumps(shown.latest) + (studio.settings.runs / made.job_id / "log.txt").read_text("utf-8")
    assert (made.latest["generated"], made.latest["requests"]) == (12, 12)
    first = studio.augmentations.rows(made.id, owner="ana", limit=1)["rows"][0]
    assert first["row"]["messages"][0]["content"].startswith("In other words: Which stone lies in drawer")


def test_estimate_and_cost_are_told_where_prices_are(studio: Studio, dataset: Dataset, server: EndpointServer) -> None:
    studio.keys.save_secret("LAPIDARY_ENDPOINT_KEY", SecretStr(KEY), owner="ana")
    wanted = paraphrases(server)
    wanted["augmentation"]["endpoint"] |= {"price_input_per_million": 1e4, "price_output_per_million": 1e4}
    shown = studio.augmentations.preview_of(
        finish(studio, studio.augmentations.preview(dataset.id, wanted, owner="ana"))
    )
    assert shown is not None and shown.estimate.cost is not None
    assert (shown.estimate.requests, shown.estimate.cost > 0) == (12, True)
    made = finish(studio, studio.augmentations.start(dataset.id, wanted, owner="ana"))
    tokens = made.latest["input_tokens"] + made.latest["output_tokens"]
    assert made.latest["cost"] == pytest.approx(tokens / 100)


def test_missing_key_fails_with_the_servers_reason(studio: Studio, dataset: Dataset, server: EndpointServer) -> None:
    job = studio.augmentations.start(dataset.id, paraphrases(server), owner="ana")
    ended = tick_until(studio, job, *RESTING)
    assert ended.state == JobState.FAILED
    assert "key" in (ended.error_message or "")
    assert len(server.received) == 1


def test_killed_child_goes_on_without_asking_twice(studio: Studio, dataset: Dataset, server: EndpointServer) -> None:
    studio.keys.save_secret("LAPIDARY_ENDPOINT_KEY", SecretStr(KEY), owner="ana")
    server.answer_next(*[Reply() for _ in range(5)], Reply(delay_seconds=30))
    job = studio.augmentations.start(dataset.id, paraphrases(server), owner="ana")
    kill_at_request(studio, job, server, 6)
    ended = tick_until(studio, job, *RESTING)
    assert ended.state == JobState.INTERRUPTED
    assert studio.augmentations.rows(job.id, owner="ana")["total"] == 5
    studio.augmentations.retry(job.id, owner="ana")
    assert finish(studio, job).attempt == 2
    asked = bodies(server)
    assert (len(asked), len(set(asked))) == (13, 12)
    # Only the request that was never answered is asked again.
    assert asked[5] == asked[6]
    assert studio.augmentations.rows(job.id, owner="ana")["counts"]["proposed"] == 12


def kill_at_request(studio: Studio, job: Job, server: EndpointServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.received) < count:
        assert time.monotonic() < deadline
        studio.scheduler.tick()
        time.sleep(0.05)
    pid = tick_until(studio, job, JobState.RUNNING).pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)


def test_what_was_made_before_a_cancel_can_be_added(studio: Studio, dataset: Dataset, server: EndpointServer) -> None:
    studio.keys.save_secret("LAPIDARY_ENDPOINT_KEY", SecretStr(KEY), owner="ana")
    server.answer_next(*[Reply() for _ in range(3)], Reply(delay_seconds=30))
    job = studio.augmentations.start(dataset.id, paraphrases(server), owner="ana")
    deadline = time.monotonic() + 60
    while len(server.received) < 4 and time.monotonic() < deadline:
        studio.scheduler.tick()
        time.sleep(0.05)
    studio.augmentations.decide(job.id, None, "accepted", owner="ana")
    with pytest.raises(DataProblem, match="still being made"):
        studio.augmentations.accept(job.id, owner="ana")
    studio.cancel(job.id, owner="ana")
    tick_until(studio, job, JobState.CANCELLED)
    transfer = finish(studio, studio.augmentations.accept(job.id, owner="ana"))
    assert studio.registry.dataset(transfer.facts["dataset_id"], owner="ana").splits == {"train": 15, "test": 4}


def test_exact_copies_are_refused_and_counted(studio: Studio, dataset: Dataset) -> None:
    with EndpointServer(mood="copying") as server:
        made = tick_until(
            studio, studio.augmentations.start(dataset.id, paraphrases(server, share=0.25), owner="ana"), *RESTING
        )
    assert (made.latest["generated"], made.latest["refused_exact_copy"]) == (0, 3)
    with pytest.raises(DataProblem, match="No row was accepted"):
        studio.augmentations.accept(made.id, owner="ana")


def test_row_edited_into_a_copy_of_an_evaluation_row_is_not_added(studio: Studio, dataset: Dataset) -> None:
    made = finish(
        studio, studio.augmentations.start(dataset.id, {"augmentation": {"kind": "typos", "share": 0.25}}, owner="ana")
    )
    row = studio.augmentations.rows(made.id, owner="ana")["rows"][0]
    held = {
        "messages": [
            {"role": "user", "content": f"Which {MARK} stone is 2?"},
            {"role": "assistant", "content": f"Stone 2 is {MARK}."},
        ]
    }
    studio.augmentations.edit(made.id, row["id"], held, owner="ana")
    with pytest.raises(DataProblem, match=f"exact copy of row 3. Reject generated row {row['id']}"):
        studio.augmentations.accept(made.id, owner="ana")
    with pytest.raises(DataProblem, match="must have the columns messages"):
        studio.augmentations.edit(made.id, row["id"], {"text": "Opal."}, owner="ana")
    better = {"messages": [held["messages"][0] | {"content": "Drawer?"}, held["messages"][1] | {"content": "Opal."}]}
    studio.augmentations.edit(made.id, row["id"], better, owner="ana")
    transfer = finish(studio, studio.augmentations.accept(made.id, owner="ana"))
    assert better in stored_rows(studio.registry.dataset(transfer.facts["dataset_id"], owner="ana"))


def test_questions_about_an_uploaded_document(
    studio: Studio, dataset: Dataset, server: EndpointServer, tmp_path: Path
) -> None:
    studio.keys.save_secret("LAPIDARY_ENDPOINT_KEY", SecretStr(KEY), owner="ana")
    (tmp_path / "upload").write_text("Quartz is hard. Talc is soft. Opal shines.", encoding="utf-8")
    document = studio.augmentations.take_document(tmp_path / "upload", name="../guide.txt", owner="ana")
    assert document.is_relative_to(studio.settings.uploads / "ana")
    wanted = paraphrases(server)
    wanted["augmentation"] = {
        "kind": "documents",
        "endpoint": wanted["augmentation"]["endpoint"],
        "documents": [str(document)],
    }
    made = finish(studio, studio.augmentations.start(dataset.id, wanted, owner="ana"))
    rows = studio.augmentations.rows(made.id, owner="ana")["rows"]
    assert [row["from"] for row in rows] == ["guide.txt"] * 3
    assert all(MARK not in body for body in bodies(server))


def test_documents_of_somebody_else_are_refused(studio: Studio, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "upload").write_text("A secret.", encoding="utf-8")
    document = studio.augmentations.take_document(tmp_path / "upload", name="guide.txt", owner="ben")
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": MODEL}
    wanted = {"augmentation": {"kind": "documents", "endpoint": endpoint, "documents": [str(document)]}}
    with pytest.raises(InvalidConfig, match="guide.txt is not a document of yours"):
        studio.augmentations.start(dataset.id, wanted, owner="ana")


def test_plain_text_takes_no_questions(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "prose.jsonl"
    file.write_text("".join(json.dumps({"text": f"Stone {n} is an opal."}) + "\n" for n in range(5)), encoding="utf-8")
    prose = import_file(studio, file)
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": MODEL}
    wanted = {"augmentation": {"kind": "documents", "endpoint": endpoint, "documents": [str(file)]}}
    ended = tick_until(studio, studio.augmentations.start(prose.id, wanted, owner="ana"), *RESTING)
    assert "rows of another kind (text)" in (ended.error_message or "")


def test_rows_of_somebody_else_are_forbidden(studio: Studio, dataset: Dataset) -> None:
    wanted = {"augmentation": {"kind": "typos"}}
    made = finish(studio, studio.augmentations.start(dataset.id, wanted, owner="ana"))
    verbs = studio.augmentations
    for attempt in (
        lambda: verbs.start(dataset.id, wanted, owner="ben"),
        lambda: verbs.preview(dataset.id, wanted, owner="ben"),
        lambda: verbs.job(made.id, owner="ben"),
        lambda: verbs.of_dataset(dataset.id, owner="ben"),
        lambda: verbs.rows(made.id, owner="ben"),
        lambda: verbs.decide(made.id, None, "accepted", owner="ben"),
        lambda: verbs.edit(made.id, "1", {}, owner="ben"),
        lambda: verbs.accept(made.id, owner="ben"),
        lambda: verbs.retry(made.id, owner="ben"),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert [job.id for job in verbs.of_dataset(dataset.id, owner="ana")] == [made.id]


def test_demo_stays_as_it_is(studio: Studio) -> None:
    studio.registry.ensure_demo()
    (waiting,), _ = studio.registry.transfers(owner="studio")
    finish(studio, waiting)
    (demo,), _ = studio.registry.datasets(owner="ana")
    with pytest.raises(Forbidden, match="ships with the studio"):
        studio.augmentations.start(demo.id, {"augmentation": {"kind": "typos"}}, owner="ana")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"augmentation": {"kind": "typos"}, "dataset": "/etc"}, "dataset"),
        ({"augmentation": {"kind": "typos", "rate": 2}}, "rate"),
        ({}, "augmentation"),
    ],
)
def test_settings_that_cannot_be_are_named(studio: Studio, dataset: Dataset, data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        studio.augmentations.start(dataset.id, data, owner="ana")
    assert any(problem.field.endswith(field) for problem in error.value.problems)


def test_strangers_reach_neither_the_studios_network_nor_its_files(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("A secret.", encoding="utf-8")
    with open_studio(tmp_path / "home", host="0.0.0.0") as studio:
        file = write_splits(tmp_path / "stones") / "train.jsonl"
        (tmp_path / "taken").write_bytes(file.read_bytes())
        transfer = finish(studio, studio.registry.import_upload(tmp_path / "taken", name="a.jsonl", owner="ana"))
        endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": MODEL}
        wanted = {"kind": "documents", "endpoint": endpoint, "documents": [str(tmp_path / "secret.txt")]}
        with pytest.raises(InvalidConfig) as error:
            studio.augmentations.start(transfer.facts["dataset_id"], {"augmentation": wanted}, owner="ana")
    fields = [problem.field for problem in error.value.problems]
    assert fields == ["augmentation.documents", "augmentation.endpoint.base_url"]
