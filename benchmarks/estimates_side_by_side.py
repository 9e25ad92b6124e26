"""Our estimate of memory against those of accelerate, LLaMA-Factory and Unsloth, each held against measured figures.

`python -m benchmarks.estimates_side_by_side [--quick]` takes the published runs of tests/fixtures/published_memory and
prints for each what was measured and how far each estimate is from it. The last line is JSON.
"""

import argparse
import json
import logging
import os
import statistics
from collections.abc import Callable

import torch
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes
from transformers import AutoModel, PreTrainedConfig

from benchmarks.published_runs import GIB, PublishedRun, model_config_of, predict, published_runs

NEAR = 0.15
GB = 1e9
QUICK = ("peft-full", "peft-lora-rank-32", "litgpt-llama-3.1-8b-lora", "kleos-nemo-12b-qlora")
# Bytes a weight, from the last column of the table (README of hiyouga/LLaMA-Factory, 2026-08-19, "Hardware
# Requirement", marked as estimated there): x billions of weights in GB. All runs here that train every weight do so in
# pure bf16.
LLAMA_FACTORY_BYTES = {"full": 8.0, "lora": 2.0, "qlora": 0.5}
# What the list of models in Unsloth Studio shows (unslothai/unsloth, 2026-08-22): GB a billion weights, and for all.
UNSLOTH_GB = {"full": 2.0, "lora": 2.0, "qlora": 0.9}
UNSLOTH_OVERHEAD_GB = 1.4

Estimate = Callable[[PublishedRun, PreTrainedConfig, int], float | None]
"""Takes a run, its model's configuration and the model's number of weights; gives GiB, or None where it has none."""


def main() -> None:
    """Print a line for each run, then figures as one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four runs, within seconds")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable(logging.WARNING)
    runs = [run for run in published_runs() if not options.quick or run.name in QUICK]
    print(f"{'':36}{'GiB':>7}{'ours':>8}" + "".join(f"{name:>18}" for name in OTHERS), flush=True)
    errors: dict[str, list[float]] = {}
    for run in runs:
        for name, error in _compare(run).items():
            errors.setdefault(name, []).append(error)
    for run in runs:
        if run.known is not None:
            print(f"{run.name}: {run.known}")
    print(json.dumps({"benchmark": "estimates_side_by_side", "quick": options.quick, "figures": _figures(errors)}))


def _compare(run: PublishedRun) -> dict[str, float]:
    prediction, model_config = predict(run), model_config_of(run)
    weights = prediction.parameters - (0 if run.tuning == "full" else prediction.trainable_parameters)
    estimates = {"ours": prediction.gib}
    for name, estimate in OTHERS.items():
        gib = estimate(run, model_config, weights)
        if gib is not None:
            estimates[name] = gib
    errors = {name: gib / run.gib - 1 for name, gib in estimates.items()}
    told = {name: f"{error:+.0%}" for name, error in errors.items()}
    others = "".join(f"{told.get(name, 'none'):>18}" for name in OTHERS)
    print(f"{run.name:36}{run.gib:7.2f}{errors['ours']:+8.1%}{others}", flush=True)
    return errors


def _figures(errors: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "runs": len(found),
            "median": round(statistics.median(map(abs, found)), 3),
            "worst": round(max(map(abs, found)), 3),
            "within_15_percent": round(sum(abs(error) <= NEAR for error in found) / len(found), 3),
        }
        for name, found in errors.items()
    }


def _accelerate(run: PublishedRun, model_config: PreTrainedConfig, weights: int) -> float | None:
    """`accelerate estimate-memory`, "Training using Adam" in 16 bits; it has no figure for 4 bits."""
    if run.quantized:
        return None
    with torch.device("meta"):
        model = AutoModel.from_config(model_config, dtype=torch.float32)
    total, _ = calculate_maximum_sizes(model)
    return max(estimate_training_usage(total, "bfloat16").values()) / GIB


def _llama_factory(run: PublishedRun, model_config: PreTrainedConfig, weights: int) -> float:
    return LLAMA_FACTORY_BYTES[_method(run)] * weights / GIB


def _unsloth_list(run: PublishedRun, model_config: PreTrainedConfig, weights: int) -> float:
    return (UNSLOTH_GB[_method(run)] * weights / GB + UNSLOTH_OVERHEAD_GB) * GB / GIB


def _unsloth_server(run: PublishedRun, model_config: PreTrainedConfig, weights: int) -> float | None:
    """What Unsloth Studio chooses GPUs by: its published description of weights, adapter, gradients, moments and the
    activations of a layer, for models whose layers are alike; the loss is no part of it."""
    text = model_config.get_text_config()
    if text.is_heterogeneous:
        return None
    hidden, layers, inner = text.hidden_size, text.num_hidden_layers, text.intermediate_size
    keys = hidden // text.num_attention_heads * text.num_key_value_heads
    quantizable = (2 * hidden + 2 * keys + 3 * inner) * hidden * layers
    rest = 2 * hidden * layers + text.vocab_size * hidden * (1 if text.tie_word_embeddings else 2)
    held = (quantizable / 3.2 + rest if run.quantized else quantizable + rest) * 2
    widths = {"q": 2 * hidden, "k": hidden + keys, "v": hidden + keys, "o": 2 * hidden}
    widths |= dict.fromkeys(("gate", "up", "down"), hidden + inner)
    wanted = widths if run.targets == "all-linear" else [name for name in widths if f"{name}_proj" in run.targets]
    adapter = layers * run.rank * sum(widths[name] for name in wanted) if run.tuning == "lora" else 0
    trained = adapter if run.tuning == "lora" else quantizable + rest
    of_a_layer = run.rows * run.tokens * (hidden + 2 * keys + 2 + 2 * inner) * 2 * 1.25
    kept = (2.0 if run.tuning == "full" else 1.0) if run.checkpointing else layers
    moments = trained * (6 if run.moment_bytes is None else 4)
    floor = 0.15 * held if run.tuning == "full" else min(0.15 * held, max(of_a_layer * kept, moments))
    return (held + 2 * adapter + moments + max(2 * trained, floor) + of_a_layer * kept) / GIB + UNSLOTH_OVERHEAD_GB


def _method(run: PublishedRun) -> str:
    return "qlora" if run.quantized else run.tuning


OTHERS: dict[str, Estimate] = {
    "accelerate": _accelerate,
    "LLaMA-Factory": _llama_factory,
    "Unsloth's list": _unsloth_list,
    "Unsloth's server": _unsloth_server,
}


if __name__ == "__main__":
    main()
