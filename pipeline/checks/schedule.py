"""Checks of steps, epochs and intervals."""

import math
from typing import Any

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
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
        findings.append(_step_not_filled(config, rows))
    seen = times_seen(config, rows)
    if seen < 1:
        message = f"Training stops after {seen:.0%} of the rows; the rest is never seen. Train at least one epoch."
        unbroken: dict[str, Any] = {"training.epochs": max(1.0, config.training.epochs), "training.max_steps": None}
        fix = Fix(label="See every row", patch=unbroken)
        findings.append(warning("rows_never_seen", "training.epochs", message, fix))
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
        findings.append(warning("never_saved", "training.save_steps", message, fix))
    if training.eval_strategy == "steps" and training.eval_steps > steps:
        message = f"The run has {steps} steps, so there is no evaluation every {training.eval_steps}. Score each epoch."
        fix = Fix(label="Score each epoch", patch={"training.eval_strategy": "epoch"})
        findings.append(warning("never_evaluated", "training.eval_steps", message, fix))
    return findings


def check_logging(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Values are logged before the run ends."""
    if facts.train_rows == 0:
        return []
    steps, every = total_steps(config, facts.train_rows), config.training.logging_steps
    if every <= steps:
        return []
    message = f"The run has {steps} steps, so no value is logged every {every}. Log each step."
    fix = Fix(label="Log each step", patch={"training.logging_steps": 1})
    return [warning("never_logged", "training.logging_steps", message, fix)]


def _step_not_filled(config: FineTuneJobConfig, rows: int) -> Finding:
    field, method = "training.per_device_batch_size", config.method
    if isinstance(method, GrpoConfig):
        message = (
            f"A step takes {config.training.rows_per_step // method.num_generations} prompts, and there are {rows} to "
            "train on. Use smaller batches, or give more rows."
        )
        patch = {field: method.num_generations, "training.gradient_accumulation_steps": 1}
        return error("too_few_prompts", field, message, Fix(label="One prompt a step", patch=patch))
    # Answers marked good or bad need company in their batch.
    batch = max(2 if method.kind == "kto" else 1, rows // 2)
    message = f"{rows} training rows do not fill one step of {config.training.rows_per_step} rows. Use smaller batches."
    patch = {field: batch, "training.gradient_accumulation_steps": 1}
    return warning("step_not_filled", field, message, Fix(label=f"Batches of {batch}", patch=patch))
