"""One side of the throughput benchmark: LLaMA-Factory at its defaults, in the environment that it is installed in.

Its pins are not ours: make a virtual environment with torch 2.13.0, `transformers==5.6.0 trl==0.24.0 datasets==4.0.0
peft==0.18.1 accelerate==1.11.0` and its other requirements, then `pip install --no-deps llamafactory==0.9.5 torchdata`.
Where torchaudio has no build an empty package of that name serves: it is imported, and used for sound only.
"""

import argparse
import json
import time
from pathlib import Path

from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback


class StepClock(TrainerCallback):
    """Notes when each step was logged. Each row is seen once, so a step's share of the tokens is known on average."""

    def __init__(self, *, tokens_per_step: float) -> None:
        self.tokens_per_step = tokens_per_step
        self.steps: list[dict[str, float]] = []

    def on_log(self, args, state, control, logs, **kwargs):  # type: ignore[no-untyped-def]
        """Note one step."""
        if "loss" in logs:
            tokens = state.global_step * self.tokens_per_step
            self.steps.append({"time": time.time(), "loss": float(logs["loss"]), "num_tokens": tokens})


def main() -> None:
    """Train and write the adapter and the notes to the output folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="real tokens of all rows")
    options = parser.parse_args()
    _write_data(options.data, options.out)
    clock = StepClock(tokens_per_step=options.tokens / options.steps)
    arguments = {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": options.model,
        "template": "gemma",
        "dataset": "chats",
        "dataset_dir": str(options.out),
        "output_dir": str(options.out / "adapter"),
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": 16,
        "lora_alpha": 32,
        "max_steps": options.steps,
        "per_device_train_batch_size": options.batch,
        "cutoff_len": options.max_length,
        "learning_rate": options.learning_rate,
        "bf16": True,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "overwrite_cache": True,
    }
    run_exp(arguments, callbacks=[clock])
    (options.out / "steps.json").write_text(json.dumps({"steps": clock.steps}))


def _write_data(data: Path, out: Path) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    chats = [{"messages": [*row["prompt"], *row["completion"]]} for row in rows]
    (out / "chats.json").write_text(json.dumps(chats))
    columns = {"columns": {"messages": "messages"}, "formatting": "sharegpt"}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    (out / "dataset_info.json").write_text(json.dumps({"chats": {"file_name": "chats.json", **columns, "tags": tags}}))


if __name__ == "__main__":
    main()
