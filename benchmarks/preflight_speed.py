"""How fast preflight answers, and in how much memory: a first question, another one, and one that was asked before.

`python -m benchmarks.preflight_speed [--quick]` asks an estimator process about models of 1, 27 and 70 billion weights,
of which only the configuration is here. The last line is JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.checks.facts import gather_facts
from pipeline.devices import device_of_type
from pipeline.estimate_history import history_of
from pipeline.hardware_specs import gpu_spec, rates_of
from pipeline.validation import parse_job_config
from studio.estimator import Estimator, Subject

TARGETS = {
    "1b": {"cold_seconds": 8.0, "warm_seconds": 2.0, "cached_seconds": 0.05},
    "27b": {"warm_seconds": 10.0},
    "70b": {"warm_seconds": 10.0},
    "memory_gb": 1.5,
}
# Configurations of Gemma 3 1B and 27B (its language model) and of Llama 3.1 70B.
MODELS: dict[str, dict[str, Any]] = {
    "1b": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "vocab_size": 262_144,
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "sliding_window": 512,
    },
    "27b": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "vocab_size": 262_208,
        "hidden_size": 5376,
        "intermediate_size": 21_504,
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "sliding_window": 1024,
    },
    "70b": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": 128_256,
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
}
ROWS = 1000


def main() -> None:
    """Ask, print a table, then figures and targets as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest model only")
    options = parser.parse_args()
    names = ["1b"] if options.quick else list(MODELS)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lapidary-preflight-") as folder:
        home = Path(folder)
        rows = _write_rows(home)
        for name in MODELS:
            _write_model(name, home)
        rates = home / "rates.json"
        rates.write_text(rates_of(gpu_spec("t4")).model_dump_json(), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        estimator = Estimator(
            environment, imports=home / "imports", rates=rates, history=lambda name: history_of(name, [])
        )
        print(f"{'':6}{'cold s':>9}{'warm s':>9}{'cached s':>10}{'GB':>8}")
        for name in names:
            found = {}
            if name == names[0]:
                found["cold_seconds"] = _ask(estimator, name, home, rows, batch=8)
            # Another length and another batch: nothing of the answer is known, and the libraries are there.
            found["warm_seconds"] = min(_ask(estimator, name, home, rows, batch=batch) for batch in (2, 4))
            found["cached_seconds"] = _ask(estimator, name, home, rows, batch=4)
            figures[name] = {key: round(value, 4) for key, value in found.items()}
            memory = _memory(estimator) / 1e9
            figures["memory_gb"] = round(max(memory, figures.get("memory_gb", 0.0)), 3)
            cold = f"{found['cold_seconds']:9.2f}" if "cold_seconds" in found else f"{'':9}"
            print(f"{name:6}{cold}{found['warm_seconds']:9.2f}{found['cached_seconds']:10.4f}{memory:8.2f}", flush=True)
        estimator.close()
    print(json.dumps({"benchmark": "preflight_speed", "quick": options.quick, "figures": figures, "targets": TARGETS}))


def _ask(estimator: Estimator, name: str, home: Path, rows: Path, *, batch: int) -> float:
    config = parse_job_config(
        {
            "model": {"base_model": str(home / name), "quantization": "none" if name == "1b" else "4bit"},
            "dataset": {"path": str(rows)},
            "training": {"per_device_batch_size": batch, "gradient_checkpointing": name != "1b"},
        }
    )
    facts = gather_facts(config, data=None, output_dir=home)
    began = time.perf_counter()
    estimator.estimate(Subject(config, facts, {}), [device_of_type("a100-80gb")])
    return time.perf_counter() - began


def _write_rows(home: Path) -> Path:
    file = home / "rows.jsonl"
    turns = [{"prompt": "a " * (40 + row % 60), "completion": "a " * (80 + row % 200)} for row in range(ROWS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in turns), encoding="utf-8")
    return file


def _write_model(name: str, home: Path) -> None:
    # In a process of its own: this one shall not load the libraries.
    code = (
        "import sys; from pipeline.estimate.stand_ins import stand_in_tokenizer as t; t().save_pretrained(sys.argv[1])"
    )
    folder = home / name
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)  # noqa: S603 - our own code
    special = {"max_position_embeddings": 8192, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    (folder / "config.json").write_text(json.dumps({**MODELS[name], **special}), encoding="utf-8")


def _memory(estimator: Estimator) -> int:
    process = estimator._client._process
    # The most it ever had.
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    main()
