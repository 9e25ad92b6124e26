"""How long a run takes: its steps, its evaluations, and how many of each there are."""

import math
from dataclasses import dataclass

from pipeline.checks.schedule import passes_per_row, total_steps
from pipeline.config import FineTuneJobConfig
from pipeline.estimate.generation import generation_seconds
from pipeline.estimate.rates import Rates
from pipeline.estimate.run_rows import RunRows
from pipeline.estimate.step_time import FORWARD_SHARE, FORWARD_SHARE_CHECKPOINTED, step_seconds
from pipeline.estimate.step_trace import StepTrace
from pipeline.estimate_history import TIME_RANGE
from pipeline.estimates import TimeEstimate
from pipeline.method_config import GrpoConfig
from pipeline.model_manager import Precision

# Published peaks say less about a run than rates that were measured here.
_PUBLISHED_RANGE = (0.5, 2.0)


@dataclass(frozen=True)
class RowCounts:
    """Rows that are trained on and held out; 0 where nobody knows."""

    train: int
    evaluation: int


def time_estimate(
    config: FineTuneJobConfig,
    trace: StepTrace,
    rates: Rates,
    *,
    rows: RunRows,
    counts: RowCounts,
    precision: Precision,
) -> TimeEstimate | None:
    """The time of the whole run; None where the number of rows is not known."""
    if counts.train == 0:
        return None
    training = config.training
    steps = total_steps(config, counts.train)
    a_step = step_seconds(trace, rates, accumulation=training.gradient_accumulation_steps)
    share = FORWARD_SHARE_CHECKPOINTED if training.gradient_checkpointing else FORWARD_SHARE
    a_batch = a_step / training.gradient_accumulation_steps * share
    if isinstance(config.method, GrpoConfig):
        a_step += _sampling_seconds(config.method, trace, rates, precision)
    train_seconds = a_step * steps
    evaluations = _evaluations(config, steps) if counts.evaluation else 0
    evaluation_seconds = evaluations * math.ceil(counts.evaluation / training.per_device_batch_size) * a_batch
    rows_a_step = training.rows_per_step / passes_per_row(config)
    tokens = rows.mean_tokens * rows_a_step
    low, high = TIME_RANGE if rates.measured else _PUBLISHED_RANGE
    total = train_seconds + evaluation_seconds
    return TimeEstimate(
        step_seconds=a_step,
        steps=steps,
        train_seconds=train_seconds,
        evaluation_seconds=evaluation_seconds,
        low=total * low,
        high=total * high,
        samples_per_second=rows_a_step / a_step,
        tokens_per_second=tokens / a_step,
        tokens=round(tokens * steps),
        rates=f"measured on {rates.device}" if rates.measured else f"from published figures of {rates.device}",
    )


def _sampling_seconds(method: GrpoConfig, trace: StepTrace, rates: Rates, precision: Precision) -> float:
    once = generation_seconds(
        trace,
        rates,
        tokens=method.max_completion_length,
        number_bytes=4 if precision == "fp32" else 2,
    )
    return once / method.num_iterations


def _evaluations(config: FineTuneJobConfig, steps: int) -> int:
    match config.training.eval_strategy:
        case "no":
            return 0
        case "epoch":
            return math.ceil(config.training.epochs)
        case "steps":
            return steps // config.training.eval_steps
