"""One optimiser step that is like every step of a run: the configuration of it, and the optimiser's state before it."""

from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer

from pipeline.config import FineTuneJobConfig

# With more of them each adds to the gradients of the one before, as the second does.
MOST_ACCUMULATED = 2


def one_step_of(config: FineTuneJobConfig, *, accumulated: int) -> FineTuneJobConfig:
    """The configuration with a single step of `accumulated` batches, and nothing evaluated or saved.

    The step has the whole learning rate: with a warm-up, the first one would change nothing.
    """
    training = config.training.model_copy(
        update={
            "max_steps": 1,
            "gradient_accumulation_steps": accumulated,
            "lr_scheduler": "constant",
            "warmup_ratio": 0.0,
            "eval_strategy": "no",
            "save_strategy": "no",
            "logging_steps": 1,
        }
    )
    evaluation = config.evaluation.model_copy(update={"keep_best": False, "early_stopping": None})
    return config.model_copy(update={"training": training, "evaluation": evaluation})


def make_moments(optimizer: Any) -> None:
    """Give the optimiser the state that it has before every step but the first. The weights stay as they are."""
    # Around it, a step in fp16 would ask for gradients that were scaled.
    bare = optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer
    rates = [group["lr"] for group in bare.param_groups]
    for group in bare.param_groups:
        group["lr"] = 0.0
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    bare.step()
    bare.zero_grad()
    for group, rate in zip(bare.param_groups, rates, strict=True):
        group["lr"] = rate
