"""The estimator process and the preflight command: real children that tell what a run will need."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.estimates import Estimate, Fit
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL, demo_document

PROJECT = Path(__file__).parents[2]
HERE = {"name": "this computer", "on_gpu": False, "free": 64 << 30}
T4 = {"name": "Tesla T4", "on_gpu": True, "free": 15 << 30, "has_bf16": False}


class Child:
    """One estimator process with the rates of another machine, so that nothing is measured."""

    def __init__(self, home: Path, rates: Path) -> None:
        self.home, self.rates = home, rates
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "estimator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HOME": str(home)},
        )

    def ask(self, document: dict[str, Any], op: str, **request: Any) -> dict[str, Any]:
        """The last message to a request."""
        message = {
            "id": 1,
            "op": op,
            "config": parse_job_config(document).model_dump(mode="json"),
            "train_rows": 800,
            "eval_rows": 100,
            "imports": str(self.home / "imports"),
            "rates_file": str(self.rates),
            **request,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        reply: dict[str, Any] = {"event": "progress"}
        while reply["event"] == "progress":
            reply = json.loads(self.process.stdout.readline())
        return reply


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory, rates_file: Path) -> Iterator[Child]:
    child = Child(tmp_path_factory.mktemp("estimator"), rates_file)
    yield child
    child.process.kill()
    child.process.communicate()


def test_run_is_estimated_on_each_device(child: Child) -> None:
    reply = child.ask(demo_document(), "estimate", devices=[HERE, T4])
    estimate = Estimate.model_validate(reply["estimate"])
    here, t4 = estimate.devices
    assert (estimate.parameters - estimate.trainable_parameters, estimate.rows_at_once) == (3_611_648, 16)
    assert estimate.assumptions == []
    assert estimate.seen_rows == 800
    assert here.verdict == t4.verdict == "fits"
    # Without bf16 the weights of the T4 are in fp32.
    assert t4.memory.by_purpose["weights"] >= 4 * 3_611_648
    for device in estimate.devices:
        assert device.memory.low < device.memory.total < device.memory.high
        assert device.time is not None
        assert device.time.steps == 150
        assert device.time.train_seconds == pytest.approx(device.time.steps * device.time.step_seconds)
        assert device.time.low < device.time.total_seconds < device.time.high


@pytest.mark.slow
def test_more_rows_at_once_take_more_memory_and_checkpointing_takes_less(child: Child) -> None:
    def tensors(**training: Any) -> int:
        reply = child.ask(demo_document(**training), "estimate", devices=[HERE])
        return Estimate.model_validate(reply["estimate"]).devices[0].memory.tensors

    usual = tensors()
    assert tensors(per_device_batch_size=32) > 1.7 * usual
    assert tensors(gradient_checkpointing=True) < 0.6 * usual


def test_rows_that_are_not_here_are_assumed_and_said_to_be(child: Child) -> None:
    document = {**demo_document(), "dataset": {"path": "some/rows"}}
    estimate = Estimate.model_validate(child.ask(document, "estimate", devices=[HERE], train_rows=0)["estimate"])
    assert estimate.assumptions == [
        "The rows of some/rows are not on this machine yet; rows of 512 tokens are assumed."
    ]
    assert estimate.devices[0].time is None


def test_model_that_cannot_be_had_is_a_sentence(child: Child) -> None:
    document = {**demo_document(), "model": {"base_model": "/nowhere/model"}}
    reply = child.ask(document, "estimate", devices=[HERE])
    assert reply["event"] == "error"
    assert "/nowhere/model" in reply["message"]


@pytest.mark.slow
def test_what_fits_is_found(child: Child) -> None:
    whole = Estimate.model_validate(child.ask(demo_document(), "estimate", devices=[HERE])["estimate"]).devices[0]
    reply = child.ask(demo_document(), "fit", device={**HERE, "free": whole.memory.total - 1_000_000})
    fit = Fit.model_validate(reply["fit"])
    assert fit.steps[0].verdict == "does_not_fit"
    assert fit.patch is not None
    batch, added = (
        fit.patch.get(f"training.{name}") for name in ("per_device_batch_size", "gradient_accumulation_steps")
    )
    assert (batch or 16) * (added or 1) == 16
    assert next(step for step in fit.steps if step.patch == fit.patch).verdict in ("fits", "tight")


def preflight(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "preflight", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "LAPIDARY_HOME": str(tmp_path)},
    )


@pytest.mark.slow
def test_command_prints_the_bar_as_a_table(tmp_path: Path, chats: Path, tiny_gemma: Path) -> None:
    done = preflight(tmp_path, "--base-model", str(tiny_gemma), "--training-data-path", str(chats), "--gpu", "l4")
    assert done.returncode == 0, done.stderr
    assert "NVIDIA L4: " in done.stdout
    assert "Activations" in done.stdout
    assert "from published figures of NVIDIA L4" in done.stdout
    assert done.stdout.endswith("The run can start.\n")


def test_command_prints_json_and_fails_with_errors(tmp_path: Path, chats: Path) -> None:
    arguments = ("--base-model", str(DEMO_MODEL), "--training-data-path", str(chats), "--precision", "fp16")
    done = preflight(tmp_path, *arguments, "--gpu", "l4", "--json")
    shown = json.loads(done.stdout)
    assert done.returncode == 1
    assert shown["ok"] is False
    assert {finding["code"] for finding in shown["findings"]} >= {"fp16_overflow"}
    assert shown["estimated_vram_mb"] > 400


@pytest.mark.slow
def test_command_refuses_a_gpu_that_nobody_knows(tmp_path: Path, chats: Path) -> None:
    done = preflight(tmp_path, "--base-model", str(DEMO_MODEL), "--training-data-path", str(chats), "--gpu", "l40z")
    assert done.returncode == 2
    assert "'l40z' is no GPU that is known here. Did you mean l40" in done.stderr
