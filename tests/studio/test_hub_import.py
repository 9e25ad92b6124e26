"""Imports from the Hub through a whole studio: stored tokens, subsets, resumption, and what the chooser shows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from db.models import Job
from db.states import RESTING, JobState
from pipeline.errors import UserError
from studio.service import Studio
from tests.documents import DEMO_MODEL, demo_document
from tests.hub_server import HubServer
from tests.services import open_studio, tick_until

TOKEN = "hf_" + "a" * 30
ROWS = 200


def lines(count: int, *, word: str) -> bytes:
    rows = ({"question": f"How heavy is {word} {n}?", "answer": f"It weighs {n} carats."} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as hub:
        files = {"train.jsonl": lines(ROWS, word="ruby"), "test.jsonl": lines(20, word="opal")}
        hub.add_dataset("gems/open", files)
        hub.add_dataset("gems/private", files, private=True)
        hub.add_token(TOKEN, reads=["gems/private"])
        yield hub


@pytest.fixture
def studio(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with open_studio(tmp_path / "home") as studio:
        yield studio


def import_from(studio: Studio, source: str, **options: object) -> Job:
    job = studio.registry.import_source({"source": source, **options}, owner="ana")
    return tick_until(studio, job, *RESTING, seconds=60)


def test_splits_of_the_repository_are_kept(studio: Studio) -> None:
    ended = import_from(studio, "gems/open")
    assert ended.state == JobState.COMPLETED, ended.error_message
    dataset = studio.registry.dataset(ended.facts["dataset_id"], owner="ana")
    assert (dataset.name, dataset.splits) == ("open", {"train": ROWS, "test": 20})
    assert ended.facts["transfer"]["bytes_done"] > 0


def test_first_rows_only(studio: Studio) -> None:
    ended = import_from(studio, "gems/open", splits=["train"], max_rows=7)
    assert studio.registry.dataset(ended.facts["dataset_id"], owner="ana").num_samples == 7


def test_private_data_set_needs_the_stored_token(studio: Studio) -> None:
    failed = import_from(studio, "gems/private")
    assert failed.state != JobState.COMPLETED
    assert "private" in (failed.error_message or "")
    studio.keys.save_secret("HF_TOKEN", SecretStr(TOKEN), owner="ana")
    studio.registry.retry(failed.id, owner="ana")
    assert tick_until(studio, failed, *RESTING).state == JobState.COMPLETED
    folder = studio.run_dir(failed).path
    kept = [file for file in folder.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert kept == []


def test_stored_token_of_somebody_else_is_not_used(studio: Studio) -> None:
    studio.keys.save_secret("HF_TOKEN", SecretStr(TOKEN), owner="ben")
    assert import_from(studio, "gems/private").state != JobState.COMPLETED


def test_chooser_shows_subsets_and_splits(studio: Studio) -> None:
    found = studio.registry.describe_hub("gems/open", owner="ana")
    assert set(found["subsets"][found["default_subset"]]) == {"train", "test"}
    assert (found["private"], found["gated"]) == (False, False)
    with pytest.raises(UserError, match="gems/none"):
        studio.registry.describe_hub("gems/none", owner="ana")


@pytest.mark.slow
def test_tokens_of_a_model_on_the_hub_need_no_weights(studio: Studio, hub: HubServer) -> None:
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    hub.add_model("gems/nano", {name: (DEMO_MODEL / name).read_bytes() for name in names})
    ended = import_from(studio, "gems/open", splits=["test"])
    dataset = studio.registry.dataset(ended.facts["dataset_id"], owner="ana")
    (sequence,) = studio.registry.tokens(
        dataset, row=1, base_model="gems/nano", train_on="assistant", max_length=None, owner="ana"
    )
    assert sequence["tokens"][0]["text"] == "<bos>"
    assert not [request for request in hub.requests if "safetensors" in request.path]


@pytest.mark.slow
def test_run_fetches_a_data_set_that_was_never_imported(studio: Studio) -> None:
    run = studio.submit({**demo_document(max_steps=2), "dataset": {"path": "gems/open"}}, owner="ana")
    ended = tick_until(studio, run, *RESTING, seconds=90)
    assert ended.state == JobState.COMPLETED, ended.error_message
    assert ended.facts["train_rows"] == ROWS
