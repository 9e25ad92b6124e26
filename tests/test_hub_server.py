"""The tests' own Hub satisfies the client library that users have."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import HubServer

FILES = {
    "README.md": b"---\nlicense: mit\n---\n# A model\n",
    "config.json": b'{"model_type": "gemma3_text"}',
    "deep/model.safetensors": bytes(range(256)) * 1000,
}


@pytest.fixture
def hub(tmp_path: Path) -> Any:
    with HubServer(tmp_path / "hub") as server:
        yield server


def run(hub: HubServer, folder: Path, code: str, **environment: str) -> Any:
    """What the code prints as JSON, with the client library pointed at `hub`."""
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import json\nfrom huggingface_hub import *\n{code}"],
        env={**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "NO_PROXY": "*", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_snapshot_of_a_model_is_what_was_committed(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_model("gems/nano", FILES, lfs=["deep/model.safetensors"])
    folder = Path(run(hub, tmp_path, "print(json.dumps(snapshot_download('gems/nano')))"))
    assert folder.name == commit
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def test_listing_and_metadata_are_understood(hub: HubServer, tmp_path: Path) -> None:
    hub.add_dataset("gems/rows", FILES, lfs=["deep/model.safetensors"], gated="auto")
    told = run(
        hub,
        tmp_path,
        "api = HfApi()\n"
        "info = api.dataset_info('gems/rows')\n"
        "tree = api.list_repo_tree('gems/rows', repo_type='dataset', recursive=True)\n"
        "paths = api.get_paths_info('gems/rows', ['config.json', 'none'], repo_type='dataset')\n"
        "print(json.dumps([info.gated, info.card_data.license, [(e.path, getattr(e, 'size', None)) for e in tree],\n"
        "                  [p.path for p in paths]]))",
    )
    files = [["README.md", 31], ["config.json", 29], ["deep", None], ["deep/model.safetensors", 256_000]]
    assert told == ["auto", "mit", files, ["config.json"]]


def test_refusals_are_understood(hub: HubServer, tmp_path: Path) -> None:
    hub.add_model("gems/private", FILES, private=True)
    hub.add_model("gems/gated", FILES, gated="manual")
    hub.add_model("gems/open", FILES)
    hub.add_token("hf_stranger")
    names = run(
        hub,
        tmp_path,
        "def refused(repo, **options):\n"
        "    try: hf_hub_download(repo, 'config.json', **options)\n"
        "    except Exception as error: return type(error).__name__\n"
        "print(json.dumps([refused('gems/private'), refused('gems/gated'), refused('gems/none'),\n"
        "    refused('gems/gated', token='hf_stranger'), refused('gems/open', revision='v2')]))",
    )
    assert names == [
        "RepositoryNotFoundError",
        "GatedRepoError",
        "RepositoryNotFoundError",
        "GatedRepoError",
        "RevisionNotFoundError",
    ]


def test_token_says_who_it_belongs_to(hub: HubServer, tmp_path: Path) -> None:
    hub.add_token("hf_mine")
    assert run(hub, tmp_path, "print(json.dumps(whoami()['name']))", HF_TOKEN="hf_mine") == "tester"
