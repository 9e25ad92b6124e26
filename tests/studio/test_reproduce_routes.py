"""What repeats a run, through REST: YAML, a command, a script, and all of it with the rows as a zip."""

import io
import shlex
import time
import urllib.request
import zipfile
from typing import Any

import pytest
import yaml

from pipeline.validation import parse_job_config
from tests.documents import demo_document
from tests.server import StudioProcess


@pytest.fixture(scope="module")
def run(server: StudioProcess) -> dict[str, Any]:
    status, job = server.post("/api/jobs", demo_document(max_steps=2, epochs=1))
    assert status == 201, job
    return server.wait_for(job["job_id"], "completed")


def test_run_is_told_as_yaml_command_and_script(server: StudioProcess, run: dict[str, Any]) -> None:
    texts = server.get(f"/api/jobs/{run['job_id']}/reproduce")
    config = parse_job_config(run["config"])
    assert parse_job_config(yaml.safe_load(texts["yaml"])) == config
    assert shlex.split(texts["command"])[:4] == ["python", "-m", "pipeline", "train"]
    compile(texts["script"], "train.py", "exec")
    assert texts["no_script"] is None


def test_rows_come_with_the_script(server: StudioProcess, run: dict[str, Any]) -> None:
    with urllib.request.urlopen(server.url + f"/api/jobs/{run['job_id']}/reproduce/download", timeout=120) as response:
        archive = zipfile.ZipFile(io.BytesIO(response.read()))
    names = {name.partition("/")[2] for name in archive.namelist()}
    assert names == {"job.yaml", "command.sh", "train.py", "rows.jsonl"}
    rows = archive.read("demo/rows.jsonl").decode("utf-8").splitlines()
    assert len(rows) == 800
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any((server.home / "tmp").glob("*.zip")):
        time.sleep(0.05)
    assert list((server.home / "tmp").glob("*.zip")) == []


def test_run_without_a_result_has_no_script_yet(server: StudioProcess) -> None:
    status, job = server.post("/api/jobs", demo_document(max_steps=500))
    assert status == 201, job
    server.post(f"/api/jobs/{job['job_id']}/cancel")
    server.wait_for(job["job_id"], "cancelled")
    texts = server.get(f"/api/jobs/{job['job_id']}/reproduce")
    assert texts["script"] is None
    assert texts["no_script"]
    assert "learning_rate: 0.003" in texts["yaml"]
