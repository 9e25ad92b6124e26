"""Preflight's memory and time against real runs: traced and true bytes of live tensors, the process, seconds a step.

`python -m benchmarks.preflight_memory [--quick]` traces each configuration, then runs it in a process of its own. On a
machine with a GPU the run is compared with what PyTorch's allocator had at most. The last line is JSON.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.estimate.calibrate import measure_rates
from pipeline.estimate.device_memory import allocator_bytes
from pipeline.estimate.rates import Rates
from pipeline.estimate.step_time import step_seconds
from pipeline.estimate.step_trace import StepTrace
from pipeline.model_manager import choose_device

TARGETS = {
    "tensors": {"median": 0.005, "worst": 0.02},
    "process": {"median": 0.08},
    "step_seconds": {"median": 0.20},
    "reserved": {"median": 0.05, "worst": 0.10},
}
WARM_UP = "warm"
# Shapes of Gemma 3; the last has the vocabulary, the width and the depth of Gemma 3 270M.
MODELS: dict[str, dict[str, int]] = {
    WARM_UP: {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1},
    "tiny": {"vocab_size": 8_192, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6},
    "small": {"vocab_size": 8_192, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 12},
    "words": {"vocab_size": 262_144, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6},
    "large": {"vocab_size": 262_144, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18},
}


@dataclass(frozen=True)
class Setting:
    """One configuration of a run; lengths in tokens."""

    model: str
    method: str = "sft"
    tuning: str = "lora"
    quantization: str = "none"
    batch: int = 4
    prompt: int = 32
    answer: int = 96
    checkpointing: bool = False
    accumulation: int = 1
    precision: str = "fp32"
    attention: str = "auto"
    full_loss: bool = False

    @property
    def name(self) -> str:
        """What is special about it."""
        tuning = {"none": self.tuning, "4bit": "qlora", "8bit": "qlora8"}[self.quantization]
        marks = [
            f"{self.model:5} {self.method:4} {tuning:6} {self.batch:2} x {self.prompt + self.answer:4}",
            "checkpointing" if self.checkpointing else "",
            f"accumulation {self.accumulation}" if self.accumulation > 1 else "",
            "bf16" if self.precision == "bf16" else "",
            "eager" if self.attention == "eager" else "",
            "whole logits" if self.full_loss else "",
        ]
        return " ".join(mark for mark in marks if mark)

    def document(self, folder: Path) -> dict[str, Any]:
        """The job document of a run with the models in `folder`."""
        return {
            "model": {
                "base_model": str(folder / self.model),
                "precision": self.precision,
                "quantization": self.quantization,
                "attention": self.attention,
            },
            "dataset": {"path": "rows.jsonl"},
            "method": {"kind": self.method},
            "tuning": {"kind": self.tuning},
            "training": {
                "per_device_batch_size": self.batch,
                "gradient_accumulation_steps": self.accumulation,
                "gradient_checkpointing": self.checkpointing,
            },
        }


FULL = (
    Setting("tiny", batch=32),
    Setting("tiny", tuning="full", batch=32),
    Setting("tiny", method="dpo", batch=16),
    Setting("tiny", batch=4, prompt=256, answer=768, attention="eager"),
    Setting("small"),
    Setting("small", batch=16),
    Setting("small", batch=2, prompt=128, answer=896),
    Setting("small", checkpointing=True, batch=16),
    Setting("small", precision="bf16", batch=8),
    Setting("small", attention="eager", batch=4, prompt=128, answer=384),
    Setting("small", tuning="full"),
    Setting("small", tuning="full", checkpointing=True, batch=8),
    Setting("small", tuning="full", accumulation=2),
    Setting("small", quantization="4bit", batch=8, precision="bf16"),
    Setting("small", quantization="4bit", batch=8, checkpointing=True, precision="bf16"),
    Setting("small", method="dpo"),
    Setting("small", method="dpo", checkpointing=True, batch=8),
    Setting("small", method="dpo", tuning="full"),
    Setting("small", method="dpo", quantization="4bit", precision="bf16"),
    Setting("words", batch=8),
    Setting("words", batch=8, full_loss=True),
    Setting("words", tuning="full", batch=8, full_loss=True),
    Setting("words", method="dpo"),
    Setting("large"),
    Setting("large", checkpointing=True, batch=8),
    Setting("large", precision="bf16", batch=4),
    Setting("large", quantization="4bit", precision="bf16"),
    Setting("large", tuning="full", batch=2),
)
QUICK = (Setting("tiny", batch=8),)


def main() -> None:
    """Trace, run, print a line for each configuration, then figures and targets as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small configuration, within a minute")
    parser.add_argument("--only", help="configurations whose name has this in it")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    settings = [item for item in (QUICK if options.quick else FULL) if (options.only or "") in item.name]
    with tempfile.TemporaryDirectory(prefix="lapidary-preflight-") as folder:
        for name in dict.fromkeys((WARM_UP, *(item.model for item in settings))):
            _build_model(name, Path(folder))
        print(
            f"{'':48}{'traced MB':>10}{'true MB':>9}{'error':>8}{'process':>9}{'error':>8}{'trace s':>9}"
            f"{'step s':>9}{'true s':>9}{'error':>8}{'kept':>7}",
            flush=True,
        )
        rates = measure_rates(choose_device())
        print(f"measured over summed seconds of the reference step: {rates.scale:.2f}", flush=True)
        errors: dict[str, list[float]] = {}
        for setting in settings:
            for name, error in _compare(setting, Path(folder), rates).items():
                errors.setdefault(name, []).append(error)
    figures = {
        name: {"median": round(statistics.median(map(abs, found)), 4), "worst": round(max(map(abs, found)), 4)}
        for name, found in errors.items()
    }
    figures["configurations"] = {"count": len(settings)}
    print(json.dumps({"benchmark": "preflight_memory", "quick": options.quick, "figures": figures, "targets": TARGETS}))


def _compare(setting: Setting, folder: Path, rates: Rates) -> dict[str, float]:
    began = time.perf_counter()
    trace = _trace(setting, folder)
    seconds = time.perf_counter() - began
    traced = trace.peak[1].total
    held = traced + (allocator_bytes(traced) if choose_device().type == "cuda" else 0)
    predicted = step_seconds(trace, rates, accumulation=setting.accumulation)
    measured = _run(setting, folder, "memory") | _run(setting, folder, "time")
    witness = "reserved" if "reserved" in measured else "process"
    errors = {
        "tensors": traced / measured["tensors"] - 1,
        witness: held / measured[witness] - 1,
        "step_seconds": predicted / measured["step_seconds"] - 1,
    }
    print(
        f"{setting.name:48}{traced / 1e6:10.1f}{measured['tensors'] / 1e6:9.1f}{errors['tensors']:8.2%}"
        f"{measured[witness] / 1e6:9.1f}{errors[witness]:8.1%}{seconds:9.2f}{predicted:9.3f}"
        f"{measured['step_seconds']:9.3f}{errors['step_seconds']:8.1%}{measured['process_as_run'] / traced:7.2f}",
        flush=True,
    )
    return errors


def _trace(setting: Setting, folder: Path) -> StepTrace:
    from transformers import AutoConfig

    from pipeline import chunked_loss
    from pipeline.estimate.depth import trace_deep
    from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
    from pipeline.estimate.step_trace import trace_step
    from pipeline.validation import parse_job_config

    config = parse_job_config(setting.document(folder))
    rows = stand_in_rows(config.method.kind, setting.batch, prompt=setting.prompt, answer=setting.answer)
    usual = chunked_loss.LOGITS_PER_CHUNK, chunked_loss.CPU_LOGITS_PER_BLOCK
    if setting.full_loss:
        chunked_loss.LOGITS_PER_CHUNK = chunked_loss.CPU_LOGITS_PER_BLOCK = 1 << 40
    try:
        trace = trace_deep(
            AutoConfig.from_pretrained(config.model.base_model),
            lambda model_config, layers: trace_step(
                config,
                model_config,
                layers=layers,
                rows=rows,
                tokenizer=stand_in_tokenizer(),
                precision=setting.precision,  # type: ignore[arg-type]
                max_length=setting.prompt + setting.answer,
                on_gpu=choose_device().type == "cuda",
            ),
        )
    finally:
        chunked_loss.LOGITS_PER_CHUNK, chunked_loss.CPU_LOGITS_PER_BLOCK = usual
    return trace


def _run(setting: Setting, folder: Path, what: str) -> dict[str, Any]:
    spec = {
        "config": setting.document(folder),
        "warm_up": str(folder / WARM_UP),
        "prompt": setting.prompt,
        "answer": setting.answer,
        "full_loss": setting.full_loss,
    }
    file = folder / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    # Freed memory goes back to the system at once: else the process shows what the C library keeps, not what is used.
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536"} if what == "memory" else {}
    child = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "benchmarks.measured_step", what, str(file)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        raise SystemExit(f"{setting.name} failed:\n{child.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return measured


def _build_model(name: str, folder: Path) -> None:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(
        **MODELS[name],
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=MODELS[name]["hidden_size"] // 4 if name != "small" and name != "large" else 256,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=1,
    )
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).save_pretrained(folder / name)


if __name__ == "__main__":
    main()
