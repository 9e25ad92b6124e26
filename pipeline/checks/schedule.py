"""Checks of steps, epochs and intervals."""

import math
from typing import Any

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix
from pipeline.config import FineTuneJobConfig
from pipeline.method_config import GrpoConfig


def total_steps(config: FineTuneJobConfig, rows: int) -> int:
    """Optimiser steps on one device: whole epochs round the last, smaller step up, as transformers' Trainer does."""
    training = config.training
    batches = math.ceil(rows * passes_per_row(config) / training.per_device_batch_size)
    per_epoch = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    steps = math.ceil(per_epoch * training.epochs)
    return steps if training.max_steps is None else min(steps, training.max_steps)


def passes_per_row(config: FineTuneJobConfig) -> int:
    """Sequences of a batch that one row becomes in an epoch: with GRPO its sampled answers, each as often as it is
    learned from."""
    method = config.method
    return method.num_generations * method.num_iterations if isinstance(method, GrpoConfig) else 1


def times_seen(config: FineTuneJobConfig, rows: int) -> float:
    """How often each of `rows` rows is seen in the whole run."""
    return total_steps(config, rows) * config.training.rows_per_step / (rows * passes_per_row(config))


def check_total_steps(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """There are rows for at least one full step, and every row is seen."""
    rows = facts.train_rows
    if facts.train_rows == 0:
        return []
    findings = []
    if rows * passes_per_row(config) < config.training.rows_per_step:
        batch = max(1, rows // 2)
        message = (
            f"{rows} training rows do not fill one step of {config.training.rows_per_step} rows. Use smaller batches."
        )
        patch = {"training.per_device_batch_size": batch, "training.gradient_accumulation_steps": 1}
        fix = Fix(label=f"Batches of {batch}", patch=patch)
        findings.append(_warning("step_not_filled", "training.per_device_batch_size", message, fix))
    seen = times_seen(config, rows)
    if seen < 1:
        message = f"Training stops after {seen:.0%} of the rows; the rest is never seen. Train at least one epoch."
        unbroken: dict[str, Any] = {"training.epochs": max(1.0, config.training.epochs), "training.max_steps": None}
        fix = Fix(label="See every row", patch=unbroken)
        findings.append(_warning("rows_never_seen", "training.epochs", message, fix))
    return findings


def check_intervals(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Checkpoints and evaluations by step happen before the run ends."""
    if facts.train_rows == 0:
        return []
    steps = total_steps(config, facts.train_rows)
    findings = []
    training = config.training
    saves_by_step = training.save_strategy == "steps" and not config.evaluation.keep_best
    if saves_by_step and training.save_steps > steps:
        message = (
            f"The run has {steps} steps, so no checkpoint is written every {training.save_steps}. Save each epoch."
        )
        fix = Fix(label="Save each epoch", patch={"training.save_strategy": "epoch"})
        findings.append(_warning("never_saved", "training.save_steps", message, fix))
    if training.eval_strategy == "steps" and training.eval_steps > steps:
        message = f"The run has {steps} steps, so there is no evaluation every {training.eval_steps}. Score each epoch."
        fix = Fix(label="Score each epoch", patch={"training.eval_strategy": "epoch"})
        findings.append(_warning("never_evaluated", "training.eval_steps", message, fix))
    return findings


def _warning(code: str, field: str, message: str, fix: Fix) -> Finding:
    return Finding(code=code, severity="warning", field=field, message=message, fixes=(fix,))
