"""The sides of the throughput benchmark: how each is started, and what it says of its steps."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BATCH = 8
MAX_LENGTH = 512
LEARNING_RATE = 1e-3
OURS = "lapidary"
LLAMAFACTORY = "llamafactory"
# The interpreter of an environment in which LLaMA-Factory is installed; its pins are not ours.
LLAMAFACTORY_PYTHON = "LLAMAFACTORY_PYTHON"
_TRL_FLAGS = {
    "trl_defaults": [],
    "trl_nll": ["--loss-type=nll"],
    "trl_grouped": ["--sampling=group_by_length"],
}


@dataclass(frozen=True)
class Setting:
    """One comparison: the model's vocabulary, the number of steps, and what is trained."""

    name: str
    vocabulary: int
    steps: int
    sides: tuple[str, ...]
    method: Literal["sft", "dpo"] = "sft"
    quantization: Literal["none", "4bit"] = "none"


@dataclass(frozen=True)
class Work:
    """What all sides of a setting train on: the model's folder, the rows' folder, and the real tokens of all rows."""

    model: Path
    folder: Path
    tokens: int


def available(side: str) -> bool:
    """Whether this side can run here."""
    return side != LLAMAFACTORY or LLAMAFACTORY_PYTHON in os.environ


def arguments(side: str, setting: Setting, work: Work, out: Path, *, python: str) -> list[str]:
    """The command that trains this side and leaves its adapter in `out`/adapter."""
    if side == OURS:
        return [python, "-m", "pipeline", "train", *_our_flags(setting, work, out)]
    if side == LLAMAFACTORY:
        script = Path(__file__).with_name("llamafactory_baseline.py")
        return [os.environ[LLAMAFACTORY_PYTHON], str(script), *_flags(setting, work, out), f"--tokens={work.tokens}"]
    flags = [*_flags(setting, work, out), f"--method={setting.method}", f"--quantization={setting.quantization}"]
    return [python, "-m", "benchmarks.trl_baseline", *flags, *_TRL_FLAGS[side]]


def logged_steps(side: str, out: Path) -> list[dict[str, float]]:
    """Each logged step: `time` in seconds since the epoch, `loss`, and `num_tokens`, the real tokens so far."""
    if side != OURS:
        steps: list[dict[str, float]] = json.loads((out / "steps.json").read_text())["steps"]
        return steps
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    return [{"time": event["time"], **event["metrics"]} for event in events if event["type"] == "step_logged"]


def _our_flags(setting: Setting, work: Work, out: Path) -> list[str]:
    values = {
        "base-model": work.model,
        "quantization": setting.quantization,
        "training-data-path": work.folder / "train.jsonl",
        "output-dir": out,
        "method.kind": setting.method,
        "eval-share": 0,
        "method.max_length": MAX_LENGTH,
        "rank": 16,
        "alpha": 32,
        "max-steps": setting.steps,
        "per-device-batch-size": BATCH,
        "learning-rate": LEARNING_RATE,
        # TRL's defaults, so that both sides take the same steps.
        "lr-scheduler": "linear",
        "warmup-ratio": 0,
        "weight-decay": 0,
        "save-strategy": "no",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def _flags(setting: Setting, work: Work, out: Path) -> list[str]:
    values = {
        "model": work.model,
        "data": work.folder / "conversational.jsonl",
        "out": out,
        "steps": setting.steps,
        "batch": BATCH,
        "max-length": MAX_LENGTH,
        "learning-rate": LEARNING_RATE,
    }
    return [f"--{name}={value}" for name, value in values.items()]
