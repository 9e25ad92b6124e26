"""One real run of a few steps in this process: the bytes of live tensors, the process's memory, and seconds a step.

`python -m benchmarks.measured_step memory|time FILE` reads `{config, warm_up, prompt, answer, full_loss}` and prints a
line of JSON.
Memory is watched tensor by tensor, which takes time, so seconds are measured in another process.
"""

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from pipeline import chunked_loss
from pipeline.data_manager import PreparedData
from pipeline.estimate.ledger import Ledger, watched
from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
from pipeline.host_memory import keep_freed_memory
from pipeline.model_manager import (
    LoadedModel,
    choose_device,
    choose_precision,
    choose_trainable,
    task_of,
    weight_dtype_of,
)
from pipeline.providers import provider_for
from pipeline.trainer import trainer_for
from pipeline.validation import parse_job_config


def main() -> None:
    """Train, and print what it took."""
    what, file = sys.argv[1:]
    spec = json.loads(Path(file).read_text(encoding="utf-8"))
    if spec["full_loss"]:
        chunked_loss.LOGITS_PER_CHUNK = chunked_loss.CPU_LOGITS_PER_BLOCK = 1 << 40
    device = choose_device()
    _warm_up(spec, device)
    measured = _memory(spec, device) if what == "memory" else _time(spec, device)
    print(json.dumps(measured))


def _memory(spec: dict[str, Any], device: torch.device) -> dict[str, float]:
    _forget_peak()
    baseline, ledger = _resident(), Ledger()
    with watched(ledger), _trainer(spec, device, steps=2, callbacks=[]) as trainer:
        ledger.enter("steps")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    measured = {"tensors": ledger.peaks["steps"].total, "process": _peak_resident() - baseline}
    if device.type == "cuda":
        measured |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
    return measured


def _time(spec: dict[str, Any], device: torch.device) -> dict[str, float]:
    if device.type == "cpu":
        # As a run does.
        keep_freed_memory()
    _forget_peak()
    baseline, timer = _resident(), _Timer()
    with _trainer(spec, device, steps=6, callbacks=[timer]) as trainer:
        trainer.train()
    # The first steps take what they keep.
    seconds = statistics.median(timer.seconds[2:])
    return {"step_seconds": seconds, "process_as_run": _peak_resident() - baseline}


@contextmanager
def _trainer(
    spec: dict[str, Any], device: torch.device, *, steps: int, callbacks: list[TrainerCallback]
) -> Iterator[Any]:
    training = {**spec["config"]["training"], "max_steps": steps, "eval_strategy": "no", "save_strategy": "no"}
    config = parse_job_config({**spec["config"], "training": training})
    provider, task = provider_for("huggingface"), task_of(config, sees_images=False)
    precision = choose_precision(config.model.precision, device=device)
    base = provider.load_model(config.model, task=task, weight_dtype=weight_dtype_of(config, precision), device=device)
    model = choose_trainable(base, config, task=task, provider=provider)
    rows = stand_in_rows(
        config.method.kind, config.training.rows_per_step * steps, prompt=spec["prompt"], answer=spec["answer"]
    )
    loaded = LoadedModel(
        model=model,
        tokenizer=stand_in_tokenizer(),
        precision=precision,
        device=device,
        context_length=base.config.get_text_config().max_position_embeddings,
    )
    data = PreparedData(list(rows), [], spec["prompt"] + spec["answer"])
    with (
        tempfile.TemporaryDirectory() as folder,
        trainer_for(config, loaded, data=data, output_dir=Path(folder), callbacks=callbacks) as trainer,
    ):
        yield trainer


class _Timer(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._began)


def _warm_up(spec: dict[str, Any], device: torch.device) -> None:
    """A whole run of a model with hardly any weights, so that every library has taken the memory that it takes once."""
    model = {**spec["config"]["model"], "base_model": spec["warm_up"]}
    with _trainer({**spec, "config": {**spec["config"], "model": model}}, device, steps=2, callbacks=[]) as trainer:
        trainer.train()
    del trainer
    gc.collect()


def _forget_peak() -> None:
    Path(f"/proc/{os.getpid()}/clear_refs").write_text("5")


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak_resident() -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak memory")


if __name__ == "__main__":
    main()
