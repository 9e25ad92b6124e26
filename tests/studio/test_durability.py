"""Runs outlive the studio: killed servers, killed children, cancelled runs."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.documents import demo_document
from tests.server import StudioProcess


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[StudioProcess]:
    server = StudioProcess(tmp_path / "studio", environment={"HF_HUB_OFFLINE": "1"})
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop()


def test_run_survives_a_killed_studio_and_every_step_counts_once(own_server: StudioProcess) -> None:
    _, job = own_server.post("/api/jobs", demo_document(max_steps=15))
    own_server.wait_for_step(job["job_id"], 2)
    own_server.kill()
    own_server.start()
    assert own_server.get(f"/api/jobs/{job['job_id']}")["state"] == "running"
    done = own_server.wait_for(job["job_id"], "completed")
    series = own_server.get(f"/api/jobs/{job['job_id']}/metrics")["series"]
    assert [step for step, _ in series["loss"]] == list(range(1, 16))
    assert done["artifacts"]


@pytest.mark.slow
def test_run_that_ended_while_the_studio_was_down_is_completed(
    own_server: StudioProcess, pids_of: Callable[[Path], list[int]]
) -> None:
    _, job = own_server.post("/api/jobs", demo_document(max_steps=3))
    own_server.wait_for(job["job_id"], "running")
    own_server.kill()
    folder = own_server.home / "runs" / job["job_id"]
    deadline = time.monotonic() + 120
    while pids_of(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    own_server.start()
    own_server.wait_for(job["job_id"], "completed", seconds=10)


@pytest.mark.slow
def test_terminated_studio_leaves_the_run_alive(
    own_server: StudioProcess, pids_of: Callable[[Path], list[int]]
) -> None:
    _, job = own_server.post("/api/jobs", demo_document(max_steps=200))
    own_server.wait_for_step(job["job_id"], 1)
    assert own_server.stop() == 0
    folder = own_server.home / "runs" / job["job_id"]
    assert len(pids_of(folder)) == 1
    own_server.start()
    own_server.post(f"/api/jobs/{job['job_id']}/cancel")
    own_server.wait_for(job["job_id"], "cancelled", seconds=30)
    assert pids_of(folder) == []


def test_killed_child_is_explained(own_server: StudioProcess, pids_of: Callable[[Path], list[int]]) -> None:
    _, job = own_server.post("/api/jobs", demo_document(max_steps=200))
    own_server.wait_for_step(job["job_id"], 1)
    (pid,) = pids_of(own_server.home / "runs" / job["job_id"])
    os.kill(pid, signal.SIGKILL)
    ended = own_server.wait_for(job["job_id"], "interrupted", seconds=20)
    assert ended["error"]["code"] == "killed"
    assert "signal 9" in ended["error"]["message"]


@pytest.mark.slow
def test_stop_and_keep_saves_what_was_learned(own_server: StudioProcess) -> None:
    _, job = own_server.post("/api/jobs", demo_document(max_steps=200))
    own_server.wait_for_step(job["job_id"], 2)
    own_server.post(f"/api/jobs/{job['job_id']}/cancel?keep=true")
    ended = own_server.wait_for(job["job_id"], "completed", seconds=60)
    assert ended["stopped_early"]
    assert ended["step"] < 200
    assert [artifact["kind"] for artifact in ended["artifacts"]] == ["adapter"]


def test_queued_run_waits_and_can_be_cancelled(own_server: StudioProcess) -> None:
    _, first = own_server.post("/api/jobs", demo_document(max_steps=200))
    _, second = own_server.post("/api/jobs", demo_document(max_steps=200, seed=1))
    own_server.wait_for(first["job_id"], "running")
    assert own_server.get(f"/api/jobs/{second['job_id']}")["state"] == "queued"
    _, cancelled = own_server.post(f"/api/jobs/{second['job_id']}/cancel")
    assert cancelled["state"] == "cancelled"
    own_server.post(f"/api/jobs/{first['job_id']}/cancel")
    own_server.wait_for(first["job_id"], "cancelled", seconds=30)


def test_second_studio_on_the_same_home_is_refused(own_server: StudioProcess) -> None:
    second = StudioProcess(own_server.home)
    with pytest.raises(AssertionError, match="Another studio is using"):
        second.start()
