"""The losses and rewards of GRPO are those of a script that uses TRL by hand, which is part of the test."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import GRPOConfig, GRPOTrainer

from pipeline.job_tracker import JobTracker
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.grpo_runs import grpo_maker, logged, ours, write_prompts


def written_by_hand(model_folder: Path, prompts: Path, output_dir: Path, **chosen: Any) -> GRPOTrainer:
    """A script as one writes it with TRL: conversations, functions over them, and the arguments spelled out."""
    is_full = chosen.pop("is_full")
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    set_seed(42)
    if is_full:
        model.get_input_embeddings().requires_grad_(False)
    else:
        layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        adapter = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules=layers)
        model = get_peft_model(model, adapter)

    def length(completions: list[Any], **_: Any) -> list[float]:
        sizes = [len(turns[0]["content"].strip()) for turns in completions]
        return [1.0 if size <= 24 else max(0.0, 2 - size / 24) for size in sizes]

    def contains(completions: list[Any], letter: list[str], **_: Any) -> list[float]:
        return [float(text in turns[0]["content"]) for turns, text in zip(completions, letter, strict=True)]

    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    arguments = {
        "output_dir": str(output_dir),
        "max_steps": 5,
        "learning_rate": 0.01,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": False,
        "num_generations": 4,
        "max_completion_length": 10,
        "temperature": 1.0,
        "reward_weights": [2.0, 0.5],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 42,
        "data_seed": 42,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[length, contains],
        args=GRPOConfig(**arguments | chosen),
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": row["prompt"]}], "letter": row["letter"]} for row in rows]
        ),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("sections", "theirs"),
    [
        ({}, {}),
        (
            {
                "method": {"kl_coefficient": 0.2, "num_iterations": 2, "policy_loss": "grpo", "scale_rewards": "batch"},
                "training": {"gradient_accumulation_steps": 2, "per_device_batch_size": 4},
            },
            {
                "beta": 0.2,
                "num_iterations": 2,
                "loss_type": "grpo",
                "scale_rewards": "batch",
                "gradient_accumulation_steps": 2,
                "per_device_train_batch_size": 4,
            },
        ),
        (
            {
                "tuning": {"kind": "full"},
                "method": {"kl_coefficient": 0.5, "temperature": 0.7, "top_p": 0.9, "policy_loss": "dr_grpo"},
            },
            {"is_full": True, "beta": 0.5, "temperature": 0.7, "top_p": 0.9, "loss_type": "dr_grpo"},
        ),
    ],
    ids=["lora", "lora with KL, two updates a batch", "full with KL"],
)
def test_losses_and_rewards_are_those_of_a_script_with_trl(
    make_config: MakeConfig,
    tracker: JobTracker,
    tiny_gemma: Path,
    tmp_path: Path,
    sections: dict[str, Any],
    theirs: dict[str, Any],
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl")
    training = {"max_steps": 5, "learning_rate": 0.01, **sections.get("training", {})}
    mine = ours(grpo_maker(make_config, prompts)(**{**sections, "training": training}), tracker)
    mine.train()
    script = written_by_hand(tiny_gemma, prompts, tmp_path / "script", **{"is_full": False, **theirs})
    assert len(logged(mine, "loss")) == 5
    for name in ("loss", "grad_norm", "reward", "reward_std", "entropy", "kl", "completions/mean_length"):
        assert logged(mine, name) == pytest.approx(logged(script, name), abs=1e-4), name
    for name in ("length", "contains"):
        assert logged(mine, f"rewards/{name}") == pytest.approx(logged(script, f"rewards/{name}/mean"), abs=1e-6)
    assert len(set(logged(mine, "reward"))) > 1
    assert max(map(abs, logged(mine, "loss"))) > 1e-3
