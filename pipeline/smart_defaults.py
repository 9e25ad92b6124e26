"""Values that follow from model, rows and hardware, each with its reason in one sentence."""

import math
from dataclasses import dataclass, replace

from pipeline.learning_rules import (
    epochs_for,
    held_out_rows,
    length_for,
    rank_for,
    rows_per_step,
    steps_between_looks,
    warmup_for,
)
from pipeline.memory_rules import Accelerator, WeightsPlan, plan_weights, rows_at_once
from pipeline.method_config import DEFAULT_LEARNING_RATE, METHOD_NAMES
from pipeline.suggestions import BaseModelFacts, Goal, RowFacts, SuggestedValue, Suggestions

_ROWS_AT_ONCE_ON_CPU = 8
_CHECKPOINTING_ABOVE = 1e9
_SCORED_ON_GPU, _SCORED_ON_CPU = 200, 20


def smart_defaults(
    model: BaseModelFacts | None, rows: RowFacts | None, gpu: Accelerator | None, goal: Goal | None = None
) -> list[SuggestedValue]:
    """Suggested settings for what is known. None stands for what is not known, and for a machine without a GPU.

    What the model's catalogue entry recommends goes before every rule.
    """
    goal = Goal() if goal is None else goal
    suggest, plan = Suggestions(), None
    if model is not None:
        _follow_catalogue(suggest, model, goal)
        if gpu is not None:
            precision = _choose_precision(suggest, model, gpu)
            goal, plan = _fit_weights(suggest, model, gpu, goal, in_16_bits=precision != "fp32")
    _choose_learning_rate(suggest, goal)
    if rows is not None and rows.rows > 0:
        held_out = _hold_out(suggest, rows, goal)
        _choose_length(suggest, model, rows, goal)
        _choose_rank(suggest, model, rows.rows - held_out, goal)
        steps = _plan_steps(
            suggest, rows.rows - held_out, _room(model, plan, rows, goal), goal, on_gpu=plan is not None
        )
        _look_at_it(suggest, steps, held_out)
        if goal.method == "sft" and rows.have_answers and held_out:
            scored = min(held_out, _SCORED_ON_CPU if plan is None else _SCORED_ON_GPU)
            reason = f"Base and tuned model answer {scored} held-out rows, so that you see what was gained."
            suggest.settle("evaluation.score_rows", scored, reason)
    return list(suggest.found.values())


@dataclass(frozen=True)
class _Steps:
    """Optimiser steps of an epoch and of the run."""

    per_epoch: int
    epochs: float
    total: int


def _follow_catalogue(suggest: Suggestions, model: BaseModelFacts, goal: Goal) -> None:
    if (goal.method, goal.tuning) == ("sft", "lora"):
        for path, value in model.recommended.items():
            suggest.settle(path, value, f"{model.name} is known to learn well with it.")


def _fit_weights(
    suggest: Suggestions, model: BaseModelFacts, gpu: Accelerator, goal: Goal, *, in_16_bits: bool
) -> tuple[Goal, WeightsPlan | None]:
    if model.parameters is None:
        return goal, None
    plan = plan_weights(model.parameters, gpu, tuning=goal.tuning, in_16_bits=in_16_bits)
    size = f"{model.parameters / 1e9:.2g} billion weights"
    of_gpu = f"of the {gpu.name}'s {gpu.memory_gb} GB"
    if goal.tuning == "full" and not plan.fits:
        reason = f"Training all of {size} takes {plan.weights_gb:.0f} {of_gpu}, 16 bytes for each; an adapter is small."
        suggest.settle("tuning.kind", "lora", reason)
        goal = replace(goal, tuning="lora")
        plan = plan_weights(model.parameters, gpu, tuning="lora", in_16_bits=in_16_bits)
    taken = f"{size} take {plan.weights_gb:.1f} {of_gpu}"
    if not plan.fits:
        reason = f"Even in 4 bits {taken}, which leaves no room to train; choose a smaller model or a larger GPU."
    elif plan.quantization == "4bit":
        reason = f"In 4 bits {taken}; whole ones would take more than three fifths."
    else:
        reason = f"{taken}, so they can stay as they are."
    suggest.settle("model.quantization", plan.quantization, reason)
    large = model.parameters > _CHECKPOINTING_ABOVE
    why = "Above a billion weights activations fill a GPU; computing them again takes about a third more time."
    why_not = "Up to a billion weights activations have room, and computing them again takes time."
    suggest.settle("training.gradient_checkpointing", large, why if large else why_not)
    return goal, plan


def _choose_precision(suggest: Suggestions, model: BaseModelFacts, gpu: Accelerator) -> str:
    if gpu.has_bf16:
        precision, reason = "bf16", f"The {gpu.name} computes in bf16, in half the memory of fp32."
    elif model.is_gemma:
        precision, reason = "fp32", f"The {gpu.name} has no bf16, and Gemma's activations are too large for fp16."
    else:
        precision, reason = "fp16", f"The {gpu.name} has no bf16; fp16 takes half the memory of fp32."
    return str(suggest.settle("model.precision", precision, reason))


def _choose_learning_rate(suggest: Suggestions, goal: Goal) -> None:
    how = "an adapter, ten times that of a full fine-tune" if goal.tuning == "lora" else "every weight"
    reason = f"The usual rate of {METHOD_NAMES[goal.method]} for {how}."
    suggest.settle("training.learning_rate", DEFAULT_LEARNING_RATE[goal.method][goal.tuning], reason)


def _hold_out(suggest: Suggestions, rows: RowFacts, goal: Goal) -> int:
    if not rows.is_drawn:
        return rows.held_out
    held_out, reason = held_out_rows(rows.rows, goal.method)
    suggest.settle("dataset.eval_share", round(held_out / rows.rows, 5), reason)
    return held_out


def _choose_length(suggest: Suggestions, model: BaseModelFacts | None, rows: RowFacts, goal: Goal) -> None:
    if rows.longest is None or rows.p95 is None or goal.method == "grpo":
        return
    context = None if model is None else model.context_length
    suggest.settle("method.max_length", *length_for(longest=rows.longest, p95=rows.p95, context=context))


def _choose_rank(suggest: Suggestions, model: BaseModelFacts | None, rows: int, goal: Goal) -> None:
    if goal.tuning == "lora":
        parameters = None if model is None else model.parameters
        rank = suggest.settle("tuning.rank", *rank_for(rows, goal.method, parameters=parameters))
        suggest.settle("tuning.alpha", 2 * rank, "Twice the rank: the scale that the learning rates are meant for.")


def _room(model: BaseModelFacts | None, plan: WeightsPlan | None, rows: RowFacts, goal: Goal) -> int:
    if model is None or model.parameters is None or plan is None:
        return _ROWS_AT_ONCE_ON_CPU
    return rows_at_once(model.parameters, plan, method=goal.method, row_tokens=rows.p95)


def _plan_steps(suggest: Suggestions, rows: int, room: int, goal: Goal, *, on_gpu: bool) -> _Steps:
    epochs = suggest.settle("training.epochs", *epochs_for(rows, goal.method))
    together, why = rows_per_step(rows)
    unit, passes = "rows", 1
    if goal.method == "grpo":
        # A step holds whole groups of answers to the same prompt.
        unit, passes = "answers", goal.num_generations
        together = passes * max(1, together // passes)
    # KTO reads each answer after another prompt of its batch.
    room = max(room, 2 if goal.method == "kto" else 1)
    at_once = max(size for size in range(1, together + 1) if together % size == 0 and size <= room)
    limit = "An update takes no more" if at_once == together else "By a rule of thumb the GPU has no room for more"
    limit = limit if on_gpu or at_once == together else f"A processor is no faster with more {unit} at once"
    at_once = suggest.settle("training.per_device_batch_size", at_once, f"{limit}.")
    added = max(1, together // at_once)
    reason = f"Makes {added * at_once} {unit} an update: {why}."
    added = suggest.settle("training.gradient_accumulation_steps", added, reason)
    per_epoch = math.ceil(rows * passes / (at_once * added))
    total = math.ceil(per_epoch * epochs)
    steps = _Steps(per_epoch, epochs, total if goal.max_steps is None else min(total, goal.max_steps))
    suggest.settle("training.warmup_ratio", *warmup_for(steps.total))
    return steps


def _look_at_it(suggest: Suggestions, steps: _Steps, held_out: int) -> None:
    between = steps_between_looks(steps.total, per_epoch=steps.per_epoch, epochs=steps.epochs)
    how, when = ("epoch", "after each epoch") if between is None else ("steps", f"every {between:,} steps")
    if held_out:
        suggest.settle("training.eval_strategy", how, f"Held-out rows are scored {when}: often enough to see a turn.")
    suggest.settle("training.save_strategy", how, f"A checkpoint {when} is what an interrupted run goes on from.")
    if between is not None:
        reason = f"About five times in {steps.total:,} steps."
        if held_out:
            suggest.settle("training.eval_steps", between, reason)
        suggest.settle("training.save_steps", between, reason)
    if held_out and steps.epochs > 3:
        reason = "Rows that are seen this often may be learned by heart; then an earlier checkpoint is the better one."
        suggest.settle("evaluation.keep_best", True, reason)
