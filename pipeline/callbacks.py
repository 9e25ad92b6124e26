"""Tells the JobTracker what happens in a transformers training loop, and stops the loop when asked to."""

import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pipeline.events import CheckpointSaved, EvaluationFinished, StepLogged
from pipeline.job_tracker import JobTracker

EVAL_PREFIX = "eval_"
# ru_maxrss counts bytes on macOS and kibibytes elsewhere.
MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class TrackerCallback(TrainerCallback):
    """Records steps, evaluations and checkpoints; a requested stop ends the loop after the running step."""

    def __init__(self, tracker: JobTracker) -> None:
        self.tracker = tracker
        self.stopped_early = False
        self._step_began = 0.0
        self._seconds = 0.0
        self._tokens = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count on where a resumed run was."""
        self._tokens = last_value(state.log_history, "num_tokens")

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock of a step."""
        self._step_began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop the clock, and the training if somebody asked for it."""
        self._seconds += time.perf_counter() - self._step_began
        if self.tracker.run_dir.stop_requested() and state.global_step < state.max_steps:
            self.stopped_early = True
            control.should_training_stop = True
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float | None],
        **kwargs: Any,
    ) -> None:
        """Record the values of a step."""
        if "loss" not in logs:
            return
        metrics = {name: float(value) for name, value in logs.items() if name != "epoch" and value is not None}
        if "num_tokens" in logs:
            metrics["tokens_per_second"] = (logs["num_tokens"] - self._tokens) / self._seconds
            self._tokens = logs["num_tokens"]
        metrics["peak_memory_bytes"] = float(peak_memory_bytes())
        self._seconds = 0.0
        self.tracker.record(
            StepLogged(step=state.global_step, total_steps=state.max_steps, epoch=float(state.epoch), metrics=metrics)
        )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float | None],
        **kwargs: Any,
    ) -> None:
        """Record the score of the held-out rows."""
        scores = {
            name: float(value) for name, value in metrics.items() if name.startswith(EVAL_PREFIX) and value is not None
        }
        if not math.isfinite(scores.get("eval_loss", 0.0)):
            self.tracker.warn(
                "evaluation_loss",
                f"The loss of the held-out rows is {scores['eval_loss']} at step {state.global_step}.",
            )
        self.tracker.record(EvaluationFinished(step=state.global_step, metrics=scores))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Record a checkpoint that is complete on disk."""
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        relative = folder.relative_to(self.tracker.run_dir.path)
        self.tracker.record(CheckpointSaved(step=state.global_step, path=str(relative)))


def last_value(history: list[dict[str, float]], name: str) -> float:
    """The last logged value of this name; 0 before the first."""
    return next((float(entry[name]) for entry in reversed(history) if name in entry), 0.0)


def peak_memory_bytes() -> int:
    """The most memory held at once: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT_BYTES
