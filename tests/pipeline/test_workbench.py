"""The workbench process: requests in, JSON lines out, and nothing else on the protocol stream."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig

REPOSITORY = Path(__file__).parents[2]


def ask(*requests: dict[str, Any] | str) -> list[dict[str, Any]]:
    """What one workbench process answers to these lines, and then to its end of input."""
    lines = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in requests)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "workbench"],
        input=lines,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def request(identity: str, base: Path, *, adapter: Path | None = None, side: str = "base") -> dict[str, Any]:
    return {
        "id": identity,
        "op": "generate",
        "base_model": str(base),
        "adapter": None if adapter is None else str(adapter),
        "side": side,
        "messages": [{"role": "user", "content": "How many carats has the opal?"}],
        "max_new_tokens": 8,
        "temperature": 0,
        "seed": 1,
    }


@pytest.fixture
def results(make_config: MakeConfig, tmp_path: Path) -> tuple[Path, Path]:
    """An adapter and a whole model, both trained from the tiny model."""
    folders = []
    for kind in ("lora", "full"):
        run_dir = RunDir(tmp_path / kind)
        run_dir.path.mkdir()
        config = make_config(
            tuning={"kind": kind},
            training={"max_steps": 10, "learning_rate": 0.05, "eval_strategy": "no", "save_strategy": "no"},
        )
        FineTuneJob(config, run_dir, JobTracker(run_dir)).run()
        folders.append(run_dir.artifact("adapter" if kind == "lora" else "model"))
    return folders[0], folders[1]


def test_session_compares_both_sides_and_survives_errors(tiny_gemma: Path, results: tuple[Path, Path]) -> None:
    adapter, model = results
    answers = ask(
        request("bare", tiny_gemma),
        request("base", tiny_gemma, adapter=adapter),
        request("tuned", tiny_gemma, adapter=adapter, side="tuned"),
        request("full", tiny_gemma, adapter=model, side="tuned"),
        request("missing", tiny_gemma / "nothing"),
        request("no adapter", tiny_gemma, side="tuned"),
        {"id": "wrong", "op": "generate", "base_model": "x"},
        "not json",
        "",
        request("again", tiny_gemma, adapter=adapter),
        {"op": "quit"},
        request("after the end", tiny_gemma),
    )
    # An answer may be its end token alone.
    texts = {answer["id"]: "" for answer in answers if answer["event"] == "done"}
    ends: dict[str | None, dict[str, Any]] = {}
    for answer in answers:
        if answer["event"] == "token":
            texts[answer["id"]] += answer["text"]
        else:
            ends[answer["id"]] = answer
    assert [key for key, end in ends.items() if end["event"] == "done"] == ["bare", "base", "tuned", "full", "again"]
    assert texts["bare"] == texts["base"] == texts["again"]
    assert texts["tuned"] != texts["bare"]
    assert texts["full"] != texts["bare"]
    assert 1 <= ends["bare"]["tokens"] <= 8
    assert ends["bare"]["seconds"] > 0
    assert ends["missing"]["code"] == "model_unavailable"
    assert "There is no folder at" in ends["missing"]["message"]
    assert ends["no adapter"]["code"] == "model_unavailable"
    assert ends["wrong"]["code"] == ends[None]["code"] == "invalid_request"
    assert "side: Field required" in ends["wrong"]["message"]


def test_end_of_input_ends_the_process() -> None:
    assert ask() == []
