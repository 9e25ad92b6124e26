"""One side of the throughput benchmark: a plain TRL script, at TRL's defaults unless a flag says otherwise."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


class StepClock(TrainerCallback):
    """Notes when each step was logged, with its loss and the real tokens so far."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_log(self, args, state, control, logs, **kwargs):  # type: ignore[no-untyped-def]
        """Note one step."""
        if "loss" in logs:
            self.steps.append({"time": time.time(), "loss": float(logs["loss"]), "num_tokens": logs["num_tokens"]})


def main() -> None:
    """Train and write the adapter and the notes to the output folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--method", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--quantization", choices=("none", "4bit"), default="none")
    parser.add_argument("--loss-type", default=None)
    parser.add_argument("--sampling", default="random")
    options = parser.parse_args()
    clock = StepClock()
    common: dict[str, Any] = {
        "output_dir": str(options.out),
        "max_steps": options.steps,
        "per_device_train_batch_size": options.batch,
        "max_length": options.max_length,
        "learning_rate": options.learning_rate,
        "train_sampling_strategy": options.sampling,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
    }
    rows = load_dataset("json", data_files=options.data, split="train", cache_dir=str(options.out / "cache"))
    shared: dict[str, Any] = {
        "model": _model(options.model, options.quantization),
        "train_dataset": rows,
        "peft_config": LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        "callbacks": [clock],
    }
    if options.method == "dpo":
        trainer: Any = DPOTrainer(args=DPOConfig(**common), **shared)
    else:
        trainer = SFTTrainer(args=SFTConfig(**common, loss_type=options.loss_type), **shared)
    trainer.train()
    trainer.save_model(str(options.out / "adapter"))
    (options.out / "steps.json").write_text(json.dumps({"steps": clock.steps, "loss_type": trainer.args.loss_type}))


def _model(path: str, quantization: str) -> Any:
    if quantization == "none":
        return path
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(path, quantization_config=four_bits, dtype=torch.bfloat16)


if __name__ == "__main__":
    main()
