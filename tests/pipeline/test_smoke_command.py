"""`python -m pipeline smoke`: the trial in a shell, on machines with too little of something."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import demo_document
from tests.tiny_gemma import build_tiny_gemma, write_jsonl

REPOSITORY = Path(__file__).parents[2]
# The code of torch and its threads take 3.6 GB of addresses before any tensor.
ADDRESSES = 5 << 30


def smoke(home: Path, document: dict[str, Any], *flags: str, limit: tuple[str, int] | None = None) -> Any:
    (home / "job.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline", "smoke", "--config", str(home / "job.yaml"), *flags]
    if limit is not None:
        command = ["prlimit", f"--{limit[0]}={limit[1]}", *command]
    environment = {**os.environ, "LAPIDARY_HOME": str(home / "lapidary"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=120, env=environment
    )


def test_demo_goes_through(tmp_path: Path) -> None:
    done = smoke(tmp_path, demo_document(), "--per-device-batch-size", "4")
    assert done.returncode == 0, done.stderr
    assert "rows in the step  4" in done.stdout
    assert "findings          none" in done.stdout
    assert "One step on the 4 longest rows" in done.stderr
    assert list((tmp_path / "lapidary").iterdir()) == []


@pytest.mark.slow
def test_json_is_one_object_and_errors_are_its_status(tmp_path: Path) -> None:
    document = demo_document()
    document["tuning"] = {"target_modules": "nowhere"}
    done = smoke(tmp_path, document, "--json")
    assert done.returncode == 1
    assert [finding["field"] for finding in json.loads(done.stdout)["findings"]] == ["tuning.target_modules"]


def test_bad_values_are_refused(tmp_path: Path) -> None:
    done = smoke(tmp_path, demo_document(), "--per-device-batch-size", "none at all")
    assert (done.returncode, done.stdout) == (2, "")
    assert "training.per_device_batch_size" in done.stderr


@pytest.mark.slow
def test_batch_that_needs_more_memory_than_there_is_is_told(tmp_path: Path) -> None:
    rows = [{"prompt": "How many carats?" + " Many" * 45, "completion": f"About {number}"} for number in range(4096)]
    document = {
        "model": {"base_model": str(build_tiny_gemma(tmp_path / "model")), "precision": "fp32", "attention": "eager"},
        "dataset": {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "group_near_duplicates": False},
        "training": {"per_device_batch_size": 3072, "gradient_accumulation_steps": 1},
    }
    done = smoke(tmp_path, document, limit=("as", ADDRESSES))
    assert done.returncode == 1, done.stderr
    assert "smoke_out_of_memory" in done.stdout
    assert "--training.per_device_batch_size 1536 --training.gradient_accumulation_steps 2" in done.stdout


@pytest.mark.parametrize("kind", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_result_that_cannot_be_written_is_told(tmp_path: Path, kind: str) -> None:
    document = demo_document(per_device_batch_size=2)
    document["tuning"] = {"kind": kind, **({"rank": 256} if kind == "lora" else {})}
    done = smoke(tmp_path, document, "--json", limit=("fsize", 2 << 20))
    assert done.returncode == 1, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["code"] == "storage_failed"
    assert "File too large" in finding["message"] and "Free some space" in finding["message"]
