"""Stops a training loop before a loss that is no number reaches the weights."""

from typing import Any

import torch
from transformers import Trainer

from pipeline.errors import TrainingDiverged


def stop_on_divergence(trainer: Trainer) -> None:
    """Make the trainer's step raise TrainingDiverged, before the weights are touched, if its loss is not finite."""
    step = trainer.training_step

    def checked_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise TrainingDiverged(
                f"The loss is {loss.item()} at step {trainer.state.global_step + 1}. Lower the learning rate "
                f"(it is {trainer.args.learning_rate:g}) and start again."
            )
        return loss

    trainer.training_step = checked_step
