"""Real tokens a second, peak memory and time to the first step: `python -m pipeline train` against plain TRL.

`python -m benchmarks.throughput [--quick]` trains the same small Gemma 3 on the same rows, each row once, with the same
global batch, step count and learning-rate schedule, each side in a process of its own. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
BATCH = 8
MAX_LENGTH = 512
LEARNING_RATE = 1e-3
HELD_OUT_ROWS = 64
# Losses of the last quarter of the steps are compared: one batch's loss says too little.
LAST_SHARE = 4
TARGETS = {
    "large": {"tokens_per_second_ratio": 4.0, "peak_memory_ratio": 0.18},
    "small": {"tokens_per_second_ratio": 2.4},
    "loss_difference": 0.01,
}


@dataclass(frozen=True)
class Setting:
    """One comparison: the vocabulary of the model and the number of steps."""

    name: str
    vocabulary: int
    steps: int
    sides: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One side's figures; seconds to the first step count from the start of the process.

    `other_load` is the share of the machine that other processes used meanwhile: above a few percent, measure again.
    """

    side: str
    tokens_per_second: float
    peak_memory_gb: float
    first_step_seconds: float
    last_losses: float
    other_load: float
    adapter: Path


TRL_FLAGS = {
    "trl_defaults": [],
    "trl_nll": ["--loss-type", "nll"],
    "trl_grouped": ["--sampling", "group_by_length"],
}
OURS = "lapidary"
FULL = (
    Setting("small", 8_192, 60, (*TRL_FLAGS, OURS)),
    Setting("large", 262_144, 12, (*TRL_FLAGS, OURS)),
)
QUICK = (Setting("small", 8_192, 15, ("trl_defaults", OURS)),)


def main() -> None:
    """Measure, print a table for each setting, then the figures and targets as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small comparison, within a minute")
    parser.add_argument("--only", choices=("small", "large"), help="one of the two vocabularies")
    options = parser.parse_args()
    settings = QUICK if options.quick else [item for item in FULL if options.only in (None, item.name)]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lapidary-throughput-") as folder:
        for setting in settings:
            figures[setting.name] = _compare(setting, Path(folder) / setting.name)
    print(json.dumps({"benchmark": "throughput", "quick": options.quick, "figures": figures, "targets": TARGETS}))


def _compare(setting: Setting, folder: Path) -> dict[str, Any]:
    model = _prepare(setting, folder)
    print(
        f"\n{setting.name}: vocabulary {setting.vocabulary:,}, "
        f"{setting.steps} steps of {BATCH} rows of <= {MAX_LENGTH} tokens"
    )
    measured = [_measure(side, setting, model=model, folder=folder) for side in setting.sides]
    held_out = _held_out_losses(model, folder, [item.adapter for item in measured])
    print(
        f"{'':14}{'tokens/s':>10}{'peak GB':>10}{'1st step s':>12}{'last losses':>13}{'held-out':>10}{'other load':>12}"
    )
    for item, loss in zip(measured, held_out, strict=True):
        print(
            f"{item.side:14}{item.tokens_per_second:10.0f}{item.peak_memory_gb:10.2f}{item.first_step_seconds:12.1f}"
            f"{item.last_losses:13.4f}{loss:10.4f}{item.other_load:12.0%}"
        )
    ours, our_loss = measured[-1], held_out[-1]
    result: dict[str, Any] = {OURS: _figures(ours, our_loss)}
    for item, loss in zip(measured[:-1], held_out[:-1], strict=True):
        ratios = {
            "tokens_per_second_ratio": ours.tokens_per_second / item.tokens_per_second,
            "peak_memory_ratio": ours.peak_memory_gb / item.peak_memory_gb,
            "first_step_ratio": ours.first_step_seconds / item.first_step_seconds,
            "loss_difference": our_loss / loss - 1,
        }
        print(f"{OURS} / {item.side}: " + ", ".join(f"{name} {value:.3f}" for name, value in ratios.items()))
        result[item.side] = _figures(item, loss) | {name: round(value, 4) for name, value in ratios.items()}
    return result


def _prepare(setting: Setting, folder: Path) -> Path:
    from benchmarks.docstring_chats import build_model, docstring_rows, train_tokenizer, write_jsonl

    folder.mkdir()
    rows = docstring_rows(2_000 + HELD_OUT_ROWS)
    tokenizer = train_tokenizer(rows[:2_000])
    build_model(folder / "base", vocabulary=setting.vocabulary, tokenizer=tokenizer)
    train = rows[: setting.steps * BATCH]
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "held_out.jsonl", rows[-HELD_OUT_ROWS:])
    (folder / "trl.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "prompt": [{"role": "user", "content": row["prompt"]}],
                    "completion": [{"role": "assistant", "content": row["completion"]}],
                }
            )
            + "\n"
            for row in train
        )
    )
    return folder / "base"


def _measure(side: str, setting: Setting, *, model: Path, folder: Path) -> Measured:
    out = folder / side
    out.mkdir()
    if side == OURS:
        command = ["-m", "pipeline", "train", *_our_flags(setting, model, folder, out)]
    else:
        command = ["-m", "benchmarks.trl_baseline", *_trl_flags(side, setting, model, folder, out)]
    began, busy_before = time.time(), _busy_seconds()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    others = _busy_seconds() - busy_before - usage.ru_utime - usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{side} failed:\n{(out / 'log.txt').read_text()[-3000:]}")
    steps = _our_steps(out) if side == OURS else json.loads((out / "steps.json").read_text())["steps"]
    first, last = steps[0], steps[-1]
    recent = [step["loss"] for step in steps[-max(1, len(steps) // LAST_SHARE) :]]
    cores = len(os.sched_getaffinity(0))
    print(f"{side}: {time.time() - began:.0f} s", flush=True)
    return Measured(
        side=side,
        # The first step warms up; its tokens and its time are left out on both sides.
        tokens_per_second=(last["num_tokens"] - first["num_tokens"]) / (last["time"] - first["time"]),
        peak_memory_gb=usage.ru_maxrss * 1024 / 1e9,
        first_step_seconds=first["time"] - began,
        last_losses=sum(recent) / len(recent),
        other_load=max(0.0, others / (time.time() - began) / cores),
        adapter=out / "adapter",
    )


def _busy_seconds() -> float:
    """Seconds that all cores together have worked since the machine started; 0 where /proc does not tell."""
    if not Path("/proc/stat").exists():
        return 0.0
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _our_flags(setting: Setting, model: Path, folder: Path, out: Path) -> list[str]:
    values = {
        "base-model": model,
        "training-data-path": folder / "train.jsonl",
        "output-dir": out,
        "eval-share": 0,
        "max-length": MAX_LENGTH,
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


def _trl_flags(side: str, setting: Setting, model: Path, folder: Path, out: Path) -> list[str]:
    values = {
        "model": model,
        "data": folder / "trl.jsonl",
        "out": out,
        "steps": setting.steps,
        "batch": BATCH,
        "max-length": MAX_LENGTH,
        "learning-rate": LEARNING_RATE,
    }
    return [*(f"--{name}={value}" for name, value in values.items()), *TRL_FLAGS[side]]


def _our_steps(out: Path) -> list[dict[str, float]]:
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    return [{"time": event["time"], **event["metrics"]} for event in events if event["type"] == "step_logged"]


def _held_out_losses(model: Path, folder: Path, adapters: list[Path]) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.held_out_loss", str(model), str(folder / "held_out.jsonl")]
    done = subprocess.run(
        [*command, *map(str, adapters)],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _figures(measured: Measured, held_out_loss: float) -> dict[str, float]:
    return {
        "tokens_per_second": round(measured.tokens_per_second, 1),
        "peak_memory_gb": round(measured.peak_memory_gb, 3),
        "first_step_seconds": round(measured.first_step_seconds, 2),
        "last_losses": round(measured.last_losses, 4),
        "other_load": round(measured.other_load, 3),
        "held_out_loss": round(held_out_loss, 4),
    }


if __name__ == "__main__":
    main()
