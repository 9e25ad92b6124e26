"""Whole runs in processes of their own: with all trackers, and with all of them broken."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.events import EvaluationFinished, Event, JobCompleted, StepLogged
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.pipeline.trackers.conftest import links_of, warnings_of
from tests.pipeline.trackers.trackio_cli import trackio, trackio_curve
from tests.wandb_server import KEY, StoredRun, WandbServer

PROJECT = Path(__file__).parents[3]
ALL = {"wandb": True, "trackio": True, "tensorboard": True}
Curves = dict[str, list[tuple[int, float]]]


@dataclass
class Tracked:
    """A run that has ended, with what the server of Weights & Biases was sent."""

    run_dir: RunDir
    events: list[Event]
    stored: StoredRun
    server_url: str

    @property
    def curves(self) -> Curves:
        return curves_of(self.events)


def work_off(run_dir: RunDir, document: dict[str, Any], **environment: str) -> list[Event]:
    """The events of a run of this document in a process of its own, which has to end well."""
    run_dir.create(parse_job_config(document))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(run_dir.path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return run_dir.read_events()[0]


def curves_of(events: list[Event]) -> Curves:
    """The curves that trackers have to show, from the events of the run."""
    found: Curves = {}
    for event in events:
        if isinstance(event, StepLogged | EvaluationFinished):
            prefix = "train/" if isinstance(event, StepLogged) else "eval/"
            for name, value in event.metrics.items():
                found.setdefault(prefix + name.removeprefix("eval_"), []).append((event.step, value))
    return found


@pytest.fixture(scope="module")
def document(tiny_gemma: Path, chats: Path) -> dict[str, Any]:
    """A job document of four steps with two evaluations."""
    return {
        "model": {"base_model": str(tiny_gemma), "precision": "fp32"},
        "dataset": {"path": str(chats)},
        "training": {"max_steps": 4, "learning_rate": 0.01, "eval_strategy": "steps", "eval_steps": 2},
        "evaluation": {"samples": 0},
    }


@pytest.fixture(scope="module")
def tracked(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """A run with all trackers on."""
    home = tmp_path_factory.mktemp("home")
    run_dir = RunDir(home / "run")
    with WandbServer() as server:
        variables = {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": KEY, "LAPIDARY_HOME": str(home)}
        events = work_off(run_dir, {**document, "tracking": ALL}, **variables)
        (stored,) = server.runs.values()
        yield Tracked(run_dir, events, stored, server.base_url)


def test_run_with_all_trackers_has_no_warnings_and_a_link(tracked: Tracked) -> None:
    assert warnings_of(tracked.events) == []
    assert links_of(tracked.events) == [f"{tracked.server_url}/ana/lapidary/runs/{tracked.stored.name}"]
    assert [step for step, _ in tracked.curves["train/loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in tracked.curves["eval/loss"]] == [2, 4]


def test_wandb_shows_what_the_run_recorded(tracked: Tracked) -> None:
    assert {name: tracked.stored.series(name) for name in tracked.curves} == tracked.curves
    assert tracked.stored.exit_code == 0
    assert tracked.stored.summary["trainable_parameters"] > 0


def test_trackio_shows_what_the_run_recorded(tracked: Tracked) -> None:
    folder = tracked.run_dir.path.parent / "trackio"
    (run,) = trackio("list", "runs", "--project", "lapidary", folder=folder)["runs"]
    for name in ("train/loss", "train/tokens_per_second", "eval/loss"):
        assert trackio_curve(name, project="lapidary", run=run, folder=folder) == tracked.curves[name]


def test_tensorboard_shows_what_the_run_recorded(tracked: Tracked) -> None:
    board = EventAccumulator(str(tracked.run_dir.tracking / "tensorboard")).Reload()
    for name, points in tracked.curves.items():
        assert [point.step for point in board.Scalars(name)] == [step for step, _ in points]
        # They are stored with 32 bits.
        assert [point.value for point in board.Scalars(name)] == pytest.approx([value for _, value in points], rel=1e-6)


@pytest.mark.slow
def test_broken_trackers_change_nothing_but_the_warnings(
    tracked: Tracked, document: dict[str, Any], tmp_path: Path
) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.tracking.mkdir(parents=True)
    (run_dir.tracking / "tensorboard").write_text("in the way")
    (tmp_path / "file").touch()
    # Nothing listens on port 9.
    broken = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": KEY, "TRACKIO_DIR": str(tmp_path / "file" / "x")}
    events = work_off(run_dir, {**document, "tracking": {**ALL, "wait_seconds": 4}}, **broken)
    assert sorted(message.split()[0] for message in warnings_of(events)) == ["TensorBoard", "Trackio", "Weights"]
    for name in ("train/loss", "train/grad_norm", "eval/loss"):
        assert curves_of(events)[name] == tracked.curves[name]
    assert [event for event in events if isinstance(event, JobCompleted)] != []
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert [artifact.kind for artifact in manifest.artifacts] == ["adapter"]
