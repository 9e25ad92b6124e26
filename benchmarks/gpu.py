"""Tokens a second, use of the arithmetic (MFU) and peak memory of whole runs on a GPU.

`python -m benchmarks.gpu [--quick] [--save]` trains random weights in the shape of Gemma 3 1B on rows of 2 048 tokens,
with LoRA, QLoRA and every weight, with each provider that is installed, each in a process of its own. `--save` keeps
the figures in benchmarks/results under the device's name. `--quick` takes a small model, and any device.
The last line is JSON.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
STEPS = 12
# The first steps allocate, tune and compile.
WARM_UP_STEPS = 4
# Dense bf16 operations a second as NVIDIA's data sheets give them, by a part of the device's name.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "4090": 165e12,
}


@dataclass(frozen=True)
class Shape:
    """The architecture of the random model, and the rows it trains on."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    head_dim: int
    vocabulary: int
    row_tokens: int
    batch: int


GEMMA_3_1B = Shape(1152, 6912, 26, 4, 256, 262_144, 2048, 4)
SMALL = Shape(128, 256, 4, 2, 64, 8_192, 256, 2)
TUNINGS: dict[str, dict[str, str]] = {
    "lora": {"tuning.kind": "lora"},
    "qlora": {"tuning.kind": "lora", "quantization": "4bit"},
    "full": {"tuning.kind": "full"},
}


def main() -> None:
    """Measure each tuning with each provider, print a table, then the figures as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small model, within a minute")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    options = parser.parse_args()
    shape, device = SMALL if options.quick else GEMMA_3_1B, _device()
    providers = ["huggingface", *(["unsloth"] if importlib.util.find_spec("unsloth") else [])]
    tunings = {"lora": TUNINGS["lora"]} if options.quick else TUNINGS
    print(f"{device}: {asdict(shape)}")
    print(f"{'provider':14}{'tuning':8}{'tokens/s':>12}{'MFU':>8}{'peak GB':>10}{'first loss':>12}{'last loss':>11}")
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lapidary-gpu-") as name:
        folder = Path(name)
        _prepare(shape, folder)
        for provider in providers:
            for tuning, flags in tunings.items():
                found = _measure(shape, folder, device, provider=provider, tuning=tuning, flags=flags)
                figures.append({"provider": provider, "tuning": tuning, **found})
                _print_row(figures[-1])
    result = {"benchmark": "gpu", "quick": options.quick, "device": device, "shape": asdict(shape), "figures": figures}
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{device.lower().replace(' ', '_')}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def _prepare(shape: Shape, folder: Path) -> None:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from benchmarks.docstring_chats import docstring_rows, train_tokenizer, write_jsonl

    rows = docstring_rows(2_000)
    tokenizer = train_tokenizer(rows)
    config = Gemma3TextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=1,
        head_dim=shape.head_dim,
        sliding_window=512,
        max_position_embeddings=32_768,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    Gemma3ForCausalLM(config).save_pretrained(folder / "base")
    torch.set_default_dtype(torch.float32)
    tokenizer.save_pretrained(folder / "base")
    # One long text: continued pre-training cuts it into full rows.
    text = "\n\n".join(row["completion"] for row in rows)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    wanted = shape.row_tokens * shape.batch * (STEPS + 1)
    repeated = (ids * (wanted // len(ids) + 1))[:wanted]
    write_jsonl(folder / "text.jsonl", [{"text": tokenizer.decode(repeated)}])


def _measure(
    shape: Shape, folder: Path, device: str, *, provider: str, tuning: str, flags: dict[str, str]
) -> dict[str, Any]:
    out = folder / f"{provider}-{tuning}"
    values = {
        "base-model": folder / "base",
        "training-data-path": folder / "text.jsonl",
        "output-dir": out,
        "provider": provider,
        "method.kind": "cpt",
        "method.max_length": shape.row_tokens,
        "per-device-batch-size": shape.batch,
        "max-steps": STEPS,
        "eval-share": 0,
        "save-strategy": "no",
        "precision": "bf16",
        **flags,
    }
    command = [sys.executable, "-m", "pipeline", "train", *(f"--{name}={value}" for name, value in values.items())]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1]}
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step_logged"]
    first, last = steps[WARM_UP_STEPS - 1], steps[-1]
    rate = (last["metrics"]["num_tokens"] - first["metrics"]["num_tokens"]) / (last["time"] - first["time"])
    peak = next((flops for name, flops in PEAK_FLOPS.items() if name in device), None)
    return {
        "tokens_per_second": round(rate, 1),
        "mfu": None if peak is None else round(rate * flops_per_token(shape, full=tuning == "full") / peak, 4),
        "peak_memory_gb": round(last["metrics"]["peak_memory_bytes"] / 1e9, 3),
        "first_loss": round(steps[0]["metrics"]["loss"], 4),
        "last_loss": round(last["metrics"]["loss"], 4),
    }


def flops_per_token(shape: Shape, *, full: bool) -> float:
    """Operations a trained token needs: 2 a weight forward, 2 for the gradient by the inputs, and 2 more for that by
    the weights where they are trained; attention's products besides (Chowdhery et al. 2022, arXiv:2204.02311, app. B).

    The embedding is a table; tied to it, the output head multiplies by as many weights.
    """
    heads = shape.heads * shape.head_dim
    layer = 2 * shape.hidden * heads + 2 * shape.hidden * shape.head_dim + 3 * shape.hidden * shape.mlp
    weights = shape.layers * layer + shape.vocabulary * shape.hidden
    attention = 12 * shape.layers * shape.heads * shape.head_dim * shape.row_tokens / 2
    return (6 if full else 4) * weights + attention * (1 if full else 2 / 3)


def _print_row(found: dict[str, Any]) -> None:
    if "error" in found:
        print(f"{found['provider']:14}{found['tuning']:8} failed: {found['error']}", flush=True)
        return
    mfu = "–" if found["mfu"] is None else f"{found['mfu']:.1%}"
    print(
        f"{found['provider']:14}{found['tuning']:8}{found['tokens_per_second']:12,.0f}{mfu:>8}"
        f"{found['peak_memory_gb']:10.2f}{found['first_loss']:12.4f}{found['last_loss']:11.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
