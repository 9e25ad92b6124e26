"""Delivery to the Hugging Face Hub, with the real client library, to a Hub of the tests' own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.pipeline.exporters.delivery import Child, contents, write_export
from tests.xet_server import XetServer

LARGE_BYTES = 12_000_000
TOKEN = "hf_mine"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        server.add_token(TOKEN, writes=["me"])
        yield server


def environment(hub: HubServer, tmp_path: Path, *, token: str) -> dict[str, str]:
    """What a client of the Hub has in its environment."""
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HOME": str(tmp_path / "hf")}


@pytest.fixture
def child(hub: HubServer, tmp_path: Path) -> Iterator[Child]:
    with Child(environment(hub, tmp_path, token=TOKEN), tmp_path / "log") as process:
        yield process


def downloaded(hub: HubServer, tmp_path: Path, name: str) -> dict[str, bytes]:
    """What another user of the token gets of a model."""
    code = "import sys, json; from huggingface_hub import snapshot_download; "
    code += "print(json.dumps(snapshot_download(sys.argv[1])))"
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        env={**kept, **environment(hub, tmp_path, token=TOKEN), "HF_HOME": str(tmp_path / "other"), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {path: content for path, content in contents(Path(json.loads(done.stdout))).items() if path[0] != "."}


def test_model_is_private_and_what_was_exported(hub: HubServer, child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    (source / "model-q8_0.gguf").write_bytes(os.urandom(1_000_000))
    done = child.deliver(source, "hf://me/gems")
    assert done.address == f"{hub.url}/me/gems", done.text
    assert downloaded(hub, tmp_path, "me/gems") == contents(source)
    assert hub.is_private("me/gems")
    assert hub.commits("me/gems") == 2
    assert done.told == sorted(done.told) and done.told[-1][0] == done.told[-1][1] and len(done.told) > 100
    assert (tmp_path / "log").read_text() == ""


def test_second_delivery_to_the_hub_sends_and_commits_nothing(hub: HubServer, child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    child.deliver(source, "hf://me/gems", private=False)
    assert not hub.is_private("me/gems")
    before = hub.http.bytes_received("/upload/")
    child.deliver(source, "hf://me/gems", private=True)
    assert hub.http.bytes_received("/upload/") == before
    assert hub.commits("me/gems") == 2 and not hub.is_private("me/gems")


def test_connection_to_the_hub_broken_in_a_part_costs_that_part_only(
    hub: HubServer, child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run", large_bytes=LARGE_BYTES)
    hub.http.cut_upload_once("part=2", after=2_000_000)
    assert child.deliver(source, "hf://me/gems").error == ""
    assert hub.http.bytes_received("/upload/") == LARGE_BYTES + 2_000_000
    assert downloaded(hub, tmp_path, "me/gems") == contents(source)
    # The addresses of the storage are keys.
    assert (tmp_path / "log").read_text() == ""


def test_killed_delivery_shows_nothing_and_sends_no_whole_file_again(
    hub: HubServer, child: Child, tmp_path: Path
) -> None:
    source = write_export(tmp_path / "run")
    (source / "model-q8_0.gguf").write_bytes(os.urandom(1_000_000))
    hub.http.cut_upload_once("/api/models/me/gems/commit/main", after=10, stalls=True)
    child.begin(source, "hf://me/gems")
    deadline = time.monotonic() + 60
    while not any(seen.is_cut for seen in hub.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.process.send_signal(signal.SIGKILL)
    child.process.wait(timeout=30)
    assert downloaded(hub, tmp_path, "me/gems") == {}
    before = hub.http.bytes_received("/upload/")
    assert before == 4_000_000
    with Child(environment(hub, tmp_path, token=TOKEN), tmp_path / "log2") as second:
        second.deliver(source, "hf://me/gems")
    assert hub.http.bytes_received("/upload/") == before
    assert hub.commits("me/gems") == 2


def test_commit_whose_answer_is_lost_is_not_made_twice(hub: HubServer, child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    hub.http.lose_answer_once("/commit/main", method="POST")
    assert child.deliver(source, "hf://me/gems").error == ""
    assert downloaded(hub, tmp_path, "me/gems") == contents(source)
    assert hub.commits("me/gems") == 2


def test_busy_hub_is_waited_for(hub: HubServer, child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    hub.http.answer_once("/repos/create", 429, method="POST", Retry_After="1")
    hub.http.answer_once("/commit/main", 503, method="POST")
    assert child.deliver(source, "hf://me/gems").error == ""
    assert downloaded(hub, tmp_path, "me/gems") == contents(source)
    assert hub.commits("me/gems") == 2


def test_hub_with_xet_gets_large_files_that_way(hub: HubServer, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    with XetServer(hub) as xet, Child(environment(hub, tmp_path, token=TOKEN), tmp_path / "log") as child:
        assert child.deliver(source, "hf://me/gems").error == ""
        assert hub.http.bytes_received("/upload/") == 0
        before = xet.http.bytes_received("/xorbs/")
        assert before > 3_000_000
        child.deliver(source, "hf://me/gems")
        assert xet.http.bytes_received("/xorbs/") == before
    assert downloaded(hub, tmp_path, "me/gems") == contents(source)


def test_refusals_of_the_hub_are_sentences(hub: HubServer, child: Child, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    failed = child.deliver(source, "hf://you/gems")
    assert failed.text.startswith("The token of HF_TOKEN may not write to you/gems: ")
    hub.add_model("you/open", {"config.json": b"{}"})
    failed = child.deliver(source, "hf://you/open")
    assert failed.text.startswith("The token of HF_TOKEN may not write to you/open: ")
    cases = {
        "hf_sesame": "The Hugging Face Hub does not know the token of HF_TOKEN",
        "": "Delivering to hf://me/gems needs a Hugging Face token that may write, and HF_TOKEN is not set",
    }
    for token, text in cases.items():
        with Child(environment(hub, tmp_path, token=token), tmp_path / "log2") as stranger:
            failed = stranger.deliver(source, "hf://me/gems")
        assert failed.error == "UserError" and failed.text.startswith(text)
        assert "sesame" not in failed.text + (tmp_path / "log2").read_text()


def test_hub_that_may_not_or_cannot_be_asked_is_a_sentence(hub: HubServer, tmp_path: Path) -> None:
    source = write_export(tmp_path / "run")
    cases = {
        "HF_HUB_OFFLINE": ("1", "HF_HUB_OFFLINE forbids"),
        "HF_ENDPOINT": ("http://127.0.0.1:9", "cannot be reached"),
    }
    for name, (value, text) in cases.items():
        with Child({**environment(hub, tmp_path, token=TOKEN), name: value}, tmp_path / "log") as child:
            failed = child.deliver(source, "hf://me/gems")
        assert failed.error == "StorageFailed" and text in failed.text
