"""Models from the Hub and from buckets, brought here by the real client libraries from servers of the tests' own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from tests.hub_server import HubServer
from tests.pipeline.conftest import MakeConfig
from tests.s3_server import S3Server

PROJECT = Path(__file__).parents[3]
CONFIG = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
WEIGHTS = os.urandom(3_000_000)
SMALL = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}
BESIDE = {"README.md": b"# Small", "pytorch_model.bin": b"pickle", "original/weights.pth": b"pickle", "q4.gguf": b"q"}


class Child:
    """A process that fetches and loads models; a context manager."""

    def __init__(self, home: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        places = {"HOME": "/nowhere", "HF_HOME": str(home / "hf"), "LAPIDARY_HOME": str(home / "lapidary")}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.providers.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env={**kept, **places, **quiet, **environment},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def fetch(self, base_model: str, **fields: Any) -> dict[str, Any]:
        return self._call({"function": "fetch", "config": {"base_model": base_model, **fields}})

    def load(self, base_model: str, **fields: Any) -> dict[str, Any]:
        return self._call({"function": "load", "config": {"base_model": base_model, **fields}})

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait(timeout=30)}"
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture(scope="module")
def child(hub: HubServer, store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A process that knows both, and no token."""
    with Child(tmp_path_factory.mktemp("home"), HF_ENDPOINT=hub.url, **store.environment) as process:
        yield process


def contents(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put(store: S3Server, folder: str, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        store.put("models", f"{folder}/{name}", content)
    return f"s3://models/{folder}"


def test_hub_model_arrives_with_what_training_takes(child: Child, hub: HubServer) -> None:
    hub.add_model("gems/small", {**SMALL, **BESIDE}, lfs=["model.safetensors"])
    fetched = child.fetch("gems/small")
    assert contents(fetched["folder"]) == SMALL
    done = [count for count, _, _ in fetched["told"]]
    # The configuration has been read before, to see whether the rest is worth it.
    total = sum(map(len, SMALL.values())) - len(CONFIG)
    assert done == sorted(done)
    assert fetched["told"][-1] == [total, total, "Downloading gems/small"]
    assert child.fetch("gems/small")["told"] == []


def test_revision_in_the_address_wins(child: Child, hub: HubServer) -> None:
    hub.add_model("gems/two", SMALL)
    hub.add_model("gems/two", {**SMALL, "tokenizer.json": b'{"new": 1}'}, revision="v2")
    assert contents(child.fetch("hf://gems/two@v2")["folder"])["tokenizer.json"] == b'{"new": 1}'
    assert contents(child.fetch("gems/two", revision="v2")["folder"])["tokenizer.json"] == b'{"new": 1}'
    assert contents(child.fetch("hf://gems/two")["folder"]) == SMALL


def test_hub_refusals_are_explained(child: Child, hub: HubServer) -> None:
    hub.add_model("gems/open", SMALL)
    hub.add_model("gems/gated", SMALL, gated="manual")
    hub.add_model("gems/private", SMALL, private=True)
    hub.add_model("gems/pickled", {"config.json": CONFIG, "pytorch_model.bin": b"pickle"})
    told = {name: child.fetch(name)["text"] for name in ("gems/gated", "gems/private", "gems/none", "gems/pickled")}
    assert "gems/gated is gated. Accept its licence at https://huggingface.co/gems/gated" in told["gems/gated"]
    assert told["gems/private"] == told["gems/none"].replace("none", "private")
    assert "There is no model gems/none on the Hugging Face Hub. Check the spelling" in told["gems/none"]
    assert "gems/pickled has its weights as a pickle only (pytorch_model.bin)" in told["gems/pickled"]
    assert "gems/open has no revision 'v9'" in child.fetch("gems/open", revision="v9")["text"]
    assert "There is no model no model" in child.fetch("no model")["text"]


def test_weights_of_a_refused_model_are_not_downloaded(child: Child, hub: HubServer) -> None:
    card = b"---\nbase_model: gems/small\n---\n"
    quantized = {**SMALL, "config.json": b'{"quantization_config": {"quant_method": "awq"}}', "README.md": card}
    hub.add_model("gems/awq", quantized, lfs=["model.safetensors"])
    assert "Choose the 16-bit model that it was made from, gems/small;" in child.fetch("gems/awq")["text"]
    assert not any("awq" in seen.path and seen.path.endswith("safetensors") for seen in hub.requests)


def test_wrong_token_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.add_model("gems/open", SMALL)
    with Child(tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hf_mistyped") as process:
        assert "The Hugging Face Hub does not know the token" in process.fetch("gems/open")["text"]


def test_without_a_connection_the_cache_counts(hub: HubServer, tmp_path: Path) -> None:
    hub.add_model("gems/here", SMALL)
    with Child(tmp_path, HF_ENDPOINT=hub.url) as online:
        folder = online.fetch("gems/here")["folder"]
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        with Child(tmp_path, **environment) as offline:
            assert offline.fetch("gems/here")["folder"] == folder
            missing = offline.fetch("gems/elsewhere")["text"]
            assert "gems/elsewhere is not on this machine and the Hugging Face Hub cannot be reached" in missing


def test_stored_model_arrives_with_what_training_takes_and_is_found_again(child: Child, store: S3Server) -> None:
    address = put(store, "small", {**SMALL, **BESIDE})
    fetched = child.fetch(address)
    assert contents(fetched["folder"]) == SMALL
    total = sum(map(len, SMALL.values()))
    assert fetched["told"][0] == [0, None, "Looking at s3://models/small"]
    assert fetched["told"][-1][:2] == [total, total]
    asked = len(store.http.downloads("/small/model.safetensors"))
    assert child.fetch(f"{address}/")["folder"] == fetched["folder"]
    assert len(store.http.downloads("/small/model.safetensors")) == asked
    put(store, "small", {"tokenizer.json": b'{"new": 1}'})
    assert child.fetch(address)["folder"] != fetched["folder"]


def test_broken_download_from_a_store_is_gone_on_from(child: Child, store: S3Server) -> None:
    weights = os.urandom(20_000_000)
    address = put(store, "large", {"config.json": CONFIG, "model.safetensors": weights})
    store.http.cut_once("/large/model.safetensors", after=3_000_000)
    assert contents(child.fetch(address)["folder"])["model.safetensors"] == weights
    ranges = [seen.headers["range"] for seen in store.http.downloads("/large/model.safetensors")]
    assert len(ranges) > 1 and all("=0-" not in asked for asked in ranges[2:])


def test_store_refusals_are_explained(child: Child, store: S3Server, tmp_path: Path) -> None:
    address = put(store, "adapter", {"adapter_config.json": b'{"base_model_name_or_path": "gems/small"}'})
    assert child.fetch(address)["text"].endswith("Give the model that it was trained on as the base model: gems/small.")
    assert child.fetch("s3://models/none") == {
        "error": "ModelUnavailable",
        "text": "There is nothing at s3://models/none. Check the bucket and the path.",
        "told": [[0, None, "Looking at s3://models/none"]],
    }
    wrong = {**store.environment, "AWS_ACCESS_KEY_ID": "stranger"}
    with Child(tmp_path, **wrong) as stranger:
        assert "may not be read" in stranger.fetch(address)["text"]


def test_folder_is_used_where_it_lies(child: Child, tmp_path: Path) -> None:
    for name, content in SMALL.items():
        (tmp_path / name).write_bytes(content)
    assert child.fetch(str(tmp_path))["folder"] == str(tmp_path)
    assert child.fetch(f"file://{tmp_path}")["folder"] == str(tmp_path)
    assert "There is no folder at" in child.fetch(f"file://{tmp_path}/none")["text"]


def test_models_from_elsewhere_are_loaded(child: Child, hub: HubServer, store: S3Server, tiny_gemma: Path) -> None:
    files = {path.name: path.read_bytes() for path in tiny_gemma.iterdir()}
    hub.add_model("gems/nano", files)
    here = child.load(str(tiny_gemma))
    assert here["weights"] > 30_000 and here["tokens"] > 300
    for place in ("gems/nano", put(store, "nano", files)):
        assert child.load(place) == here


def test_adapter_says_what_it_was_trained_on(make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    address = f"file://{tiny_gemma}"
    config = make_config(
        model={"base_model": address}, training={"max_steps": 1}, evaluation={"samples": 0}, dataset={"eval_share": 0}
    )
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    saved = json.loads((tracker.run_dir.artifact("adapter") / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == address
