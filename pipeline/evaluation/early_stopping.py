"""Ends a training loop whose evaluations do not get better any more."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline.evaluation.best_metric import BestMetric
from pipeline.events import StopReason


class EarlyStopping(TrainerCallback):
    """Stops after `patience` evaluations in a row without a better one; never where it is None.

    It reads the trainer's history, which checkpoints keep, so a resumed run counts on.
    """

    def __init__(self, metric: BestMetric, *, patience: int | None) -> None:
        self.metric = metric
        self.patience = patience
        self.reason: StopReason | None = None

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at all evaluations so far; after the last step there is nothing to stop."""
        if self.patience is None or state.global_step >= state.max_steps:
            return
        values = [entry[self.metric.name] for entry in state.log_history if self.metric.name in entry]
        if evaluations_since_best(values, higher_is_better=self.metric.higher_is_better) >= self.patience:
            self.reason = "no_improvement"
            control.should_training_stop = True


def evaluations_since_best(values: Sequence[float], *, higher_is_better: bool) -> int:
    """How many values follow the first of the best ones; a value that is no number is never the best."""
    sign = 1 if higher_is_better else -1
    finite = [(sign * value, -index) for index, value in enumerate(values) if math.isfinite(value)]
    if not finite:
        return len(values)
    return len(values) - 1 + max(finite)[1]
