"""Trackers that are missing, hang, die or fail: each is one warning, and the run goes on as if they were not there."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.events import JobCompleted
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.trackers import TRACKERS, missing_tracker_package
from pipeline.trackers.child import tracker_environment
from pipeline.trackers.processes import TrackerProcesses
from tests.pipeline.trackers.conftest import RUN, Play, children, config_with, step, warnings_of
from tests.wandb_server import KEY, WandbServer

PROJECT = Path(__file__).parents[3]


def test_run_without_trackers_starts_nothing_and_leaves_nothing(play: Play, run_dir: RunDir) -> None:
    assert play() == list(RUN)
    assert sorted(path.name for path in run_dir.path.iterdir()) == ["config.json", "events.jsonl"]


@pytest.mark.parametrize("name", TRACKERS)
def test_installed_library_is_found_without_importing_it(name: str) -> None:
    question = f"print(missing_tracker_package({name!r}), {name!r} in sys.modules)"
    code = f"import sys; from pipeline.trackers import missing_tracker_package; {question}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.split() == ["None", "False"]


def test_missing_library_is_a_warning_with_its_install_line(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert missing_tracker_package("trackio") == 'pip install "trackio==0.43.0"'
    events = play(trackio=True)
    assert warnings_of(events) == [
        "Trackio gets no more values of this run; the run goes on. It is not installed. "
        'Install it with: pip install "trackio==0.43.0"'
    ]
    assert isinstance(events[-1], JobCompleted)


def test_tracker_that_hangs_is_stopped_when_the_time_is_over(play: Play, run_dir: RunDir) -> None:
    run_dir.tracking.mkdir(parents=True)
    with (run_dir.tracking / "tensorboard.told").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        events = play(tensorboard=True, wait_seconds=2)
        assert time.monotonic() - began < 5
    assert warnings_of(events) == [
        "TensorBoard gets no more values of this run; the run goes on. It was not done 2 seconds after the run had "
        "ended and was stopped. Set tracking.wait_seconds higher if its server is slow."
    ]
    assert children() == []


def test_tracker_that_dies_is_one_warning_and_the_others_go_on(run_dir: RunDir) -> None:
    config = config_with(trackio=True, tensorboard=True)
    run_dir.create(config)
    with TrackerProcesses(run_dir, os.environ) as trackers, JobTracker(run_dir, trackers.hear) as job:
        trackers.start(config, job)
        (victim,) = [child for child in children() if "trackio" in child.cmdline()]
        victim.kill()
        for event in RUN:
            job.record(event)
    (warning,) = warnings_of(run_dir.read_events()[0])
    assert warning.startswith("Trackio gets no more values of this run; the run goes on. Its process ended with")
    assert '"step": 4' in (run_dir.tracking / "tensorboard.told").read_text()


def test_events_cost_the_run_nothing_while_a_tracker_hangs(run_dir: RunDir) -> None:
    config = config_with(tensorboard=True, wait_seconds=1)
    run_dir.create(config)
    run_dir.tracking.mkdir()
    with (run_dir.tracking / "tensorboard.told").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with TrackerProcesses(run_dir, os.environ) as trackers, JobTracker(run_dir, trackers.hear) as job:
            trackers.start(config, job)
            began = time.monotonic()
            for number in range(2000):
                job.record(step(number))
            assert time.monotonic() - began < 2


def test_folder_that_cannot_be_made_is_a_warning(play: Play, run_dir: RunDir) -> None:
    run_dir.path.mkdir()
    run_dir.tracking.write_text("in the way")
    (warning,) = warnings_of(play(tensorboard=True))
    assert warning.startswith("TensorBoard gets no more values of this run; the run goes on. FileExistsError")


def test_tracker_is_given_no_key_but_its_own() -> None:
    keys = {"WANDB_API_KEY": "w", "HF_TOKEN": "h", "AWS_SECRET_ACCESS_KEY": "a", "TRACKIO_SPACE_ID": "ana/space"}
    given = {name: set(tracker_environment(name, {"PATH": "/bin", **keys})) & set(keys) for name in TRACKERS}
    assert given == {"wandb": {"WANDB_API_KEY"}, "trackio": set(), "tensorboard": set()}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_that_is_killed_is_shown_as_failed_with_its_last_values(number: signal.Signals, run_dir: RunDir) -> None:
    run_dir.create(config_with(wandb=True))
    code = """
import os, sys, time
from pathlib import Path
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.trackers.processes import TrackerProcesses
from tests.pipeline.trackers.conftest import step

run_dir = RunDir(Path(sys.argv[1]))
with TrackerProcesses(run_dir, os.environ) as trackers, JobTracker(run_dir, trackers.hear) as job:
    trackers.start(run_dir.read_training_config(), job)
    job.record(step(1))
    print("recorded", flush=True)
    time.sleep(60)
"""
    with WandbServer() as server:
        environment = {**os.environ, "WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": KEY}
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(run_dir.path)],
            cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert run.stdout is not None
        with run, run.stdout:
            assert run.stdout.readline() == "recorded\n"
            while not (run_dir.tracking / "wandb.log").exists() or not server.runs:
                time.sleep(0.05)
            os.killpg(run.pid, number) if number == signal.SIGTERM else run.kill()
        (stored,) = server.runs.values()
        began = time.monotonic()
        while stored.exit_code is None and time.monotonic() - began < 20:
            time.sleep(0.05)
        assert stored.exit_code == 1
        assert stored.series("train/loss") == [(1, 0.5)]
