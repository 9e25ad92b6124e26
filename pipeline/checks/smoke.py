"""Findings of the trial of the longest batch, and what mends them."""

from collections.abc import Iterator

from pipeline.checks.finding import Finding, Fix, error, info, warning
from pipeline.config import FineTuneJobConfig

_BATCH, _CHECKPOINTING = "training.per_device_batch_size", "training.gradient_checkpointing"
_ACCUMULATION = "training.gradient_accumulation_steps"
# Its divergence is estimated from the other rows of a batch.
_FEWEST_ROWS = {"kto": 2}


def out_of_memory(config: FineTuneJobConfig, *, loading: bool) -> Finding:
    """The memory ended: while the model was loaded, or in the step."""
    if loading:
        fixes = tuple(_smaller_weights(config))
        cure = "Keep its weights in 4 bits, or choose a smaller model." if fixes else "Choose a smaller model."
        message = f"The memory ended while model and rows were loaded, so the run could not begin. {cure}"
        return error("smoke_out_of_memory", "model.base_model", message, *fixes)
    fewer, recompute = tuple(_fewer_rows(config)), tuple(_recompute(config))
    if fewer:
        cure = "Take fewer rows at once and add up more batches, which learns the same."
    elif recompute:
        cure = "Recompute activations: gradient checkpointing takes longer and less memory."
    else:
        cure = "Lower method.max_length, or choose a smaller model."
    message = (
        f"The memory ended in a step on the longest rows, {config.training.per_device_batch_size} at once, so the run "
        f"would end there too. {cure}"
    )
    return error("smoke_out_of_memory", _BATCH, message, *fewer, *recompute)


def not_finite(config: FineTuneJobConfig, *, what: str, precision: str | None) -> Finding:
    """A value is no number before anything was learned. `precision` is the one that was computed in, where known."""
    fixes = () if precision in (None, "fp32") else (Fix(label="Compute in fp32", patch={"model.precision": "fp32"}),)
    cure = f"{precision} may be too narrow for this model: compute in fp32." if fixes else "The model may be damaged."
    message = f"{what} of the longest rows is not a number, so nothing could be learned from them. {cure}"
    return error("smoke_not_finite", "model.precision", message, *fixes)


def nothing_learned(config: FineTuneJobConfig) -> Finding:
    """No trained weight changed."""
    if config.method.kind == "grpo":
        message = (
            "All answers to a prompt earned the same reward, so this step taught nothing. Later ones may; if none "
            "does, choose a reward that tells better answers from worse ones."
        )
        return warning("smoke_nothing_learned", "method.rewards", message)
    message = (
        "A whole step on the longest rows changed none of the trained weights, so the run would learn nothing. Check "
        "tuning.target_modules, and that the model is not damaged."
    )
    return error("smoke_nothing_learned", "tuning", message)


def step_skipped() -> Finding:
    """Gradients were too large for fp16; the run lowers their scale by itself."""
    message = (
        "The gradients were too large for fp16, so the step was left out, as it happens at the beginning of a run. "
        "Whether the weights change could not be seen."
    )
    return warning("smoke_step_skipped", "model.precision", message)


def answers_sampled(tokens: float, *, most: int) -> Finding:
    """The memory of GRPO depends on answers that are another length each time."""
    message = (
        f"The answers that were sampled have {tokens:,.0f} tokens on average. They may get as long as {most:,}, and "
        "the run then needs more memory than was measured."
    )
    return info("smoke_answers_sampled", "method.max_completion_length", message)


def adapter_differs(names: list[str]) -> Finding:
    """What was read back is not what was saved."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
    message = (
        f"Weights that were saved and loaded again are not those that were trained: {shown}. The result of the run "
        "could not be used. Choose other layers in tuning.target_modules, or the provider huggingface."
    )
    return error("smoke_adapter_differs", "tuning", message)


def save_skipped(needed: int, free: int) -> Finding:
    """There is no room to try the saving of a whole model."""
    message = (
        f"The trained model takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free, so saving it was not tried. "
        "Free some space before the run ends."
    )
    return warning("smoke_save_skipped", "tuning.kind", message)


def timed_out(seconds: float) -> Finding:
    """The trial took too long."""
    message = (
        f"The trial was not done after {seconds / 60:,.0f} minutes and was ended, so it says nothing about the run. "
        "Where a download took the time, try again: it goes on. LAPIDARY_SMOKE_SECONDS is the limit."
    )
    return warning("smoke_timed_out", "", message)


def failed(reason: str) -> Finding:
    """The trial ended in a way that nobody expected."""
    message = f"The trial ended with an error that a run would meet too: {reason}. The studio's log has more of it."
    return error("smoke_failed", "", message)


def _smaller_weights(config: FineTuneJobConfig) -> Iterator[Fix]:
    if config.tuning.kind == "lora" and config.model.quantization == "none":
        yield Fix(label="Keep the weights in 4 bits", patch={"model.quantization": "4bit"})


def _fewer_rows(config: FineTuneJobConfig) -> Iterator[Fix]:
    rows, batches = config.training.per_device_batch_size, config.training.gradient_accumulation_steps
    fewest = _FEWEST_ROWS.get(config.method.kind, 1)
    half = next((part for part in range(rows // 2, fewest - 1, -1) if rows % part == 0), None)
    if half is not None:
        more = batches * (rows // half)
        yield Fix(label=f"{half} rows at once, {more} batches a step", patch={_BATCH: half, _ACCUMULATION: more})


def _recompute(config: FineTuneJobConfig) -> Iterator[Fix]:
    if not config.training.gradient_checkpointing:
        yield Fix(label="Recompute activations", patch={_CHECKPOINTING: True})
