"""Weights & Biases against a server of this machine, in files, and where there is no server to be had."""

import getpass
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.events import JobCompleted, JobFailed
from pipeline.run_dir import RunDir
from tests.pipeline.trackers.conftest import EVAL_LOSS, RUN, TRAIN_LOSS, Play, links_of, step, warnings_of
from tests.wandb_server import ENTITY, KEY, StoredRun, WandbServer


def online(server: WandbServer, *, key: str = KEY) -> dict[str, str]:
    return {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": key}


def only_run(server: WandbServer) -> StoredRun:
    (run,) = server.runs.values()
    return run


def wandb(*arguments: object, **environment: str) -> str:
    """What the program of the library prints."""
    code = "import sys; from wandb.cli.cli import cli; cli(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "WANDB_ERROR_REPORTING": "false", **environment},
        timeout=60,
        check=True,
    )
    return done.stdout


def records(folder: Path) -> list[dict[str, Any]]:
    """The records in the file of a run, by the library's own reader."""
    return [json.loads(line) for line in wandb("leet", "inspect", "--json", folder).splitlines()]


def test_wandb_server_has_the_values_the_settings_and_the_end(play: Play) -> None:
    with WandbServer() as server:
        events = play(wandb=True, project="gems", environment=online(server))
        run = only_run(server)
        assert links_of(events) == [f"{server.base_url}/{ENTITY}/gems/runs/{run.name}"]
    assert warnings_of(events) == []
    assert (run.project, run.display_name, run.exit_code) == ("gems", "stones", 0)
    assert run.series("train/loss") == TRAIN_LOSS
    assert run.series("eval/loss") == EVAL_LOSS
    assert run.series("result/train_loss") == [(4, 0.5)]
    assert run.config["training"]["learning_rate"] == 2e-4
    assert (run.summary["train_rows"], run.summary["trainable_parameters"]) == (38, 10)


def test_resumed_run_continues_the_same_curve(play: Play) -> None:
    with WandbServer() as server:
        play(RUN[:6], wandb=True, environment=online(server))
        stopped = only_run(server)
        assert (stopped.series("train/loss"), stopped.exit_code) == (TRAIN_LOSS[:2], 1)
        # It goes on from a checkpoint before the last step that was told.
        play([step(2), *RUN[6:]], wandb=True, environment=online(server))
        run = only_run(server)
    assert run.series("train/loss") == TRAIN_LOSS
    assert run.series("eval/loss") == EVAL_LOSS
    assert run.exit_code == 0


def test_failed_run_is_shown_as_failed(play: Play) -> None:
    with WandbServer() as server:
        play([*RUN[:5], JobFailed(code="training_diverged", message="nan")], wandb=True, environment=online(server))
        assert only_run(server).exit_code == 1


def test_nothing_but_the_run_is_sent(play: Play, tmp_path: Path) -> None:
    with WandbServer() as server:
        environment = {**online(server), "HF_TOKEN": "hf_of_ana", "OTHER_VARIABLE": "of the environment"}
        play(wandb=True, environment=environment)
        sent = "\n".join(server.bodies)
        assert set(only_run(server).files) == {"config.yaml", "wandb-summary.json"}
    assert "train/loss" in sent
    for private in (KEY, "hf_of_ana", "of the environment", "secret-project", str(tmp_path), os.getcwd()):
        assert private not in sent
    for word in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"(?<![\w/]){re.escape(word)}(?!\w)", sent)


def test_key_is_in_no_file_and_nothing_outside_the_run_folder(play: Play, run_dir: RunDir, tmp_path: Path) -> None:
    before = set(Path.cwd().iterdir())
    with WandbServer() as server:
        play(wandb=True, environment=online(server))
    assert set(Path.cwd().iterdir()) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "home"}
    assert not (tmp_path / "home").exists()
    files = [path for path in run_dir.path.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert run_dir.tracking.stat().st_mode & 0o077 == 0


def test_offline_run_is_a_file_with_the_values(play: Play, run_dir: RunDir) -> None:
    assert warnings_of(play(wandb=True, wandb_offline=True)) == []
    (folder,) = (run_dir.tracking / "wandb").glob("offline-run-*")
    rows = [record["history"]["item"] for record in records(folder) if record["type"] == "history"]
    assert [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row] == TRAIN_LOSS
    assert [(row["step"], row["eval/loss"]) for row in rows if "eval/loss" in row] == EVAL_LOSS


def test_offline_run_of_two_attempts_is_sent_as_one_curve(play: Play, run_dir: RunDir) -> None:
    play(RUN[:6], wandb=True, wandb_offline=True)
    play(RUN[6:], wandb=True, wandb_offline=True)
    folders = sorted((run_dir.tracking / "wandb").glob("offline-run-*"))
    with WandbServer() as server:
        wandb("sync", *folders, **online(server))
        assert only_run(server).series("train/loss") == TRAIN_LOSS
        assert socket.gethostname() not in "\n".join(server.bodies)


@pytest.mark.parametrize(("key", "reason"), [("", "there is no WANDB_API_KEY"), ("x" * 40, "401"), ("short", "40")])
def test_without_a_good_key_the_values_are_kept_and_can_be_sent(key: str, reason: str, play: Play) -> None:
    with WandbServer() as server:
        events = play(wandb=True, environment=online(server, key=key))
        assert server.runs == {}
        (warning,) = warnings_of(events)
        assert reason in warning
        command = warning.partition("send them with: wandb ")[2]
        wandb(*command.split(), **online(server))
        run = only_run(server)
    assert run.series("train/loss") == TRAIN_LOSS
    assert [event for event in events if isinstance(event, JobCompleted)] != []


def test_closed_port_leaves_the_run_unharmed_and_bounded(play: Play) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        environment = {"WANDB_BASE_URL": f"http://127.0.0.1:{reserved.getsockname()[1]}", "WANDB_API_KEY": KEY}
        began = time.monotonic()
        events = play(wandb=True, wait_seconds=6, environment=environment)
    assert time.monotonic() - began < 9
    (warning,) = warnings_of(events)
    assert "connection refused" in warning
    assert "The values are kept in" in warning


def test_server_that_goes_silent_leaves_the_run_unharmed_and_bounded(play: Play) -> None:
    with WandbServer(mood="deaf") as server:
        began = time.monotonic()
        events = play(wandb=True, wait_seconds=6, environment=online(server))
        assert time.monotonic() - began < 9
    (warning,) = warnings_of(events)
    assert "did not take everything in time" in warning
    with WandbServer() as server:
        wandb(*warning.partition("send them with: wandb ")[2].split(), **online(server))
        assert only_run(server).series("train/loss") == TRAIN_LOSS
