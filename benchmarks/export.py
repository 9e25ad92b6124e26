"""What merging an adapter takes, against PEFT's own way in the same run: private memory at the peak, and seconds; and
what converting and quantizing to GGUF takes.

`python -m benchmarks.export [--quick]` builds a base model of the shape of Gemma 3 1B with 0.7 billion weights and a
random adapter, and merges them in processes of their own, in turns. With the extra `gguf`, files are made of that.
The last line is JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import copyfile, rmtree

TARGETS = {"memory_ratio": 0.5, "time_ratio": 1.0, "beyond_libraries_gb": 0.5}
SHAPES = {
    "whole": {"vocab_size": 262_144, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 14},
    "quick": {"vocab_size": 32_768, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 12},
}
WAYS = ("ours", "peft")
# Its tokenizer; words that the model has and the tokenizer has not are left unused.
DEMO_MODEL = Path(__file__).parents[1] / "assets" / "demo" / "gemma-nano"
REPETITIONS = 3
_SAMPLE_SECONDS = 0.02


def main() -> None:
    """Build, merge, print a table, then figures and targets as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small model, once each")
    parser.add_argument("--child", nargs=4, metavar=("WAY", "BASE", "ADAPTER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_merge(*options.child)))
        return
    with tempfile.TemporaryDirectory(prefix="lapidary-export-") as folder:
        base, adapter = Path(folder) / "base", Path(folder) / "adapter"
        weights = _build(base, adapter, SHAPES["quick" if options.quick else "whole"])
        merged = Path(folder) / "merged"
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(1 if options.quick else REPETITIONS):
            for way in WAYS:
                rmtree(merged, ignore_errors=True)
                measured[way].append(_in_a_process(way, base, adapter, merged))
        files = _make_gguf(merged)
    print(f"{weights / 1e9:.2f} billion weights in bf16\n{'':6}{'seconds':>9}{'private GB':>12}{'of libraries':>14}")
    found = {
        way: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for way, runs in measured.items()
    }
    for way, values in found.items():
        print(f"{way:6}{values['seconds']:9.1f}{values['private']:12.2f}{values['libraries']:14.2f}")
    for name, (seconds, size) in files.items():
        print(f"{name:14}{seconds:9.1f} s{size / 1e9:8.2f} GB")
    ours, peft = (found[way] for way in WAYS)
    figures = {
        "weights": weights,
        "seconds": {way: round(found[way]["seconds"], 2) for way in WAYS},
        "private_gb": {way: round(found[way]["private"], 3) for way in WAYS},
        "beyond_libraries_gb": round(ours["private"] - ours["libraries"], 3),
        "memory_ratio": round(ours["private"] / peft["private"], 3),
        "time_ratio": round(ours["seconds"] / peft["seconds"], 3),
        "gguf_seconds": {name: round(seconds, 1) for name, (seconds, _) in files.items()},
    }
    print(json.dumps({"benchmark": "export", "quick": options.quick, "figures": figures, "targets": TARGETS}))


def _build(base: Path, adapter: Path, shape: dict[str, int]) -> int:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(
        **shape, num_attention_heads=4, num_key_value_heads=1, head_dim=256, max_position_embeddings=1024
    )
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(base)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    model.save_pretrained(adapter, save_embedding_layers=False)
    return sum(weight.numel() for name, weight in model.named_parameters() if "lora_" not in name)


def _in_a_process(way: str, base: Path, adapter: Path, folder: Path) -> dict[str, float]:
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.export", "--child", way, str(base), str(adapter), str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if child.returncode != 0:
        raise SystemExit(f"{way} failed:\n{child.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return measured


def _make_gguf(model: Path) -> dict[str, tuple[float, int]]:
    """Seconds and bytes of each file; none where GGUF files cannot be made here."""
    from pipeline.exporters.gguf.convert import convert, quantize
    from pipeline.exporters.gguf.tools import GgufNotInstalled, require_gguf

    try:
        require_gguf()
    except GgufNotInstalled as missing:
        print(missing)
        return {}
    for file in DEMO_MODEL.iterdir():
        if file.name.startswith(("tokenizer", "chat_template")):
            copyfile(file, model / file.name)
    whole = model.parent / "bf16.gguf"
    found = {"convert bf16": _timed(lambda: convert(model, whole, dtype="bf16"), whole)}
    for kind in ("q8_0", "q4_k_m"):
        file = model.parent / f"{kind}.gguf"
        found[f"make {kind}"] = _timed(partial(quantize, whole, file, kind), file)
    return found


def _timed(work: Callable[[], None], file: Path) -> tuple[float, int]:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began, file.stat().st_size


def _merge(way: str, base: str, adapter: str, folder: str) -> dict[str, float]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from pipeline.exporters.merge import merge_adapter

    with _PrivateMemory() as memory:
        libraries, began = memory.now(), time.perf_counter()
        if way == "ours":
            merge_adapter(Path(base), Path(adapter), Path(folder), dtype=torch.bfloat16)
        else:
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
            PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "private": memory.most / 1e9, "libraries": libraries / 1e9}


class _PrivateMemory:
    """The most anonymous memory that this process has had, looked at often: pages of files are the system's."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def now(self) -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("RssAnon:")[2].split()[0]) * 1024

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self.most = max(self.most, self.now())

    def __enter__(self) -> "_PrivateMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


if __name__ == "__main__":
    main()
