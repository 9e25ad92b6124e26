"""Real tokens a second, peak memory and time to the first step: `pipeline train` against TRL and LLaMA-Factory.

`python -m benchmarks.throughput [--quick]` trains the same small Gemma 3 on the same rows, each row once, with the same
global batch, step count and learning-rate schedule, each side in a process of its own. LLaMA-Factory takes part where
LLAMAFACTORY_PYTHON names its interpreter. The last line is JSON.
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

from benchmarks.throughput_sides import (
    BATCH,
    LLAMAFACTORY,
    LLAMAFACTORY_PYTHON,
    MAX_LENGTH,
    OURS,
    Setting,
    Work,
    arguments,
    available,
    logged_steps,
)

REPOSITORY = Path(__file__).parents[1]
HELD_OUT_ROWS = 64
# Losses of the last quarter of the steps are compared: one batch's loss says too little.
LAST_SHARE = 4
TARGETS = {
    "large": {
        "trl_nll": {"tokens_per_second_ratio": 4.0, "peak_memory_ratio": 0.18},
        LLAMAFACTORY: {"tokens_per_second_ratio": 2.5, "peak_memory_ratio": 0.2},
    },
    "small": {
        "trl_defaults": {"tokens_per_second_ratio": 2.4},
        LLAMAFACTORY: {"tokens_per_second_ratio": 2.5},
    },
    "loss_difference": 0.01,
}
_TRL = ("trl_defaults", "trl_nll", "trl_grouped")
FULL = (
    Setting("small", 8_192, 60, (*_TRL, LLAMAFACTORY, OURS)),
    Setting("large", 262_144, 12, (*_TRL, LLAMAFACTORY, OURS)),
    Setting("dpo", 8_192, 30, ("trl_defaults", OURS), method="dpo"),
    Setting("qlora", 8_192, 30, ("trl_defaults", OURS), quantization="4bit"),
)
QUICK = (Setting("small", 8_192, 15, ("trl_defaults", OURS)),)


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


def main() -> None:
    """Measure, print a table for each setting, then the figures and targets as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small comparison, within a minute")
    parser.add_argument("--only", choices=[item.name for item in FULL], help="one of the comparisons")
    options = parser.parse_args()
    settings = QUICK if options.quick else [item for item in FULL if options.only in (None, item.name)]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lapidary-throughput-") as folder:
        for setting in settings:
            figures[setting.name] = _compare(setting, Path(folder) / setting.name)
    print(json.dumps({"benchmark": "throughput", "quick": options.quick, "figures": figures, "targets": TARGETS}))


def _compare(setting: Setting, folder: Path) -> dict[str, Any]:
    work = _prepare(setting, folder)
    print(
        f"\n{setting.name}: vocabulary {setting.vocabulary:,}, "
        f"{setting.steps} steps of {BATCH} rows of <= {MAX_LENGTH} tokens, {setting.method}, {setting.quantization}"
    )
    for side in setting.sides:
        if not available(side):
            print(f"{side}: left out, {LLAMAFACTORY_PYTHON} does not name its interpreter")
    measured = [_measure(side, setting, work) for side in setting.sides if available(side)]
    losses = _losses(setting, work, measured)
    print(
        f"{'':14}{'tokens/s':>10}{'peak GB':>10}{'1st step s':>12}{'last losses':>13}{'held-out':>10}{'other load':>12}"
    )
    for item, loss in zip(measured, losses, strict=True):
        print(
            f"{item.side:14}{item.tokens_per_second:10.0f}{item.peak_memory_gb:10.2f}{item.first_step_seconds:12.1f}"
            f"{item.last_losses:13.4f}{loss:10.4f}{item.other_load:12.0%}"
        )
    ours, our_loss = measured[-1], losses[-1]
    result: dict[str, Any] = {OURS: _figures(ours, our_loss)}
    for item, loss in zip(measured[:-1], losses[:-1], strict=True):
        ratios = {
            "tokens_per_second_ratio": ours.tokens_per_second / item.tokens_per_second,
            "peak_memory_ratio": ours.peak_memory_gb / item.peak_memory_gb,
            "first_step_ratio": ours.first_step_seconds / item.first_step_seconds,
            "loss_difference": our_loss / loss - 1,
        }
        print(f"{OURS} / {item.side}: " + ", ".join(f"{name} {value:.3f}" for name, value in ratios.items()))
        result[item.side] = _figures(item, loss) | {name: round(value, 4) for name, value in ratios.items()}
    return result


def _prepare(setting: Setting, folder: Path) -> Work:
    from benchmarks.docstring_chats import build_model, docstring_rows, train_tokenizer, write_jsonl

    folder.mkdir()
    rows = docstring_rows(2_000 + HELD_OUT_ROWS)
    tokenizer = train_tokenizer(rows[:2_000])
    build_model(folder / "base", vocabulary=setting.vocabulary, tokenizer=tokenizer)
    train = rows[: setting.steps * BATCH]
    if setting.method == "dpo":
        # The wrong answer is the right one to the next question.
        answers = [row["completion"] for row in train]
        pairs = zip(train, answers[1:] + answers[:1], strict=True)
        preferences = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": no} for row, no in pairs]
        write_jsonl(folder / "train.jsonl", preferences)
        conversational = [_turns(row, "chosen", "rejected") for row in preferences]
    else:
        write_jsonl(folder / "train.jsonl", train)
        conversational = [_turns(row, "completion") for row in train]
    write_jsonl(folder / "conversational.jsonl", conversational)
    write_jsonl(folder / "held_out.jsonl", rows[-HELD_OUT_ROWS:])
    return Work(folder / "base", folder, _real_tokens(tokenizer, conversational))


def _real_tokens(tokenizer: Any, rows: list[dict[str, Any]]) -> int:
    """Tokens of all sequences, cut at the limit, without padding."""
    answers = [row[name] for row in rows for name in ("completion", "chosen", "rejected") if name in row]
    prompts = [row["prompt"] for row in rows for name in ("completion", "chosen", "rejected") if name in row]
    chats = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    texts = tokenizer.apply_chat_template(chats, tokenize=False)
    return sum(min(MAX_LENGTH, len(ids)) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _turns(row: dict[str, str], *answers: str) -> dict[str, Any]:
    said = {name: [{"role": "assistant", "content": row[name]}] for name in answers}
    return {"prompt": [{"role": "user", "content": row["prompt"]}], **said}


def _measure(side: str, setting: Setting, work: Work) -> Measured:
    out = work.folder / side
    out.mkdir()
    command = arguments(side, setting, work, out, python=sys.executable)
    began, busy_before = time.time(), _busy_seconds()
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    others = _busy_seconds() - busy_before - usage.ru_utime - usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{side} failed:\n{(out / 'log.txt').read_text()[-3000:]}")
    steps = logged_steps(side, out)
    first, last = steps[0], steps[-1]
    recent = [step["loss"] for step in steps[-max(1, len(steps) // LAST_SHARE) :]]
    cores = len(os.sched_getaffinity(0))
    print(f"{side}: {time.time() - began:.0f} s", flush=True)
    return Measured(
        side=side,
        # The first step warms up; its tokens and its time are left out on all sides.
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


def _losses(setting: Setting, work: Work, measured: list[Measured]) -> list[float]:
    """What the sides are compared by: the loss on held-out answers; for preferences, that of the last steps."""
    if setting.method == "dpo":
        return [item.last_losses for item in measured]
    command = [sys.executable, "-m", "benchmarks.held_out_loss", str(work.model), str(work.folder / "held_out.jsonl")]
    done = subprocess.run(
        [*command, *(str(item.adapter) for item in measured)],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    losses: list[float] = json.loads(done.stdout.splitlines()[-1])
    return losses


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
