"""The rows that the trial of a run learns from: its longest batch."""

from collections.abc import Sequence
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.method_config import GrpoConfig
from pipeline.one_step import MOST_ACCUMULATED
from pipeline.unpaired_rows import UnpairedRow


def batches_to_try(config: FineTuneJobConfig) -> int:
    """Batches of the step: one, or two where gradients add up. GRPO samples the answers of all at once: all."""
    batches = config.training.gradient_accumulation_steps
    return batches if isinstance(config.method, GrpoConfig) else min(batches, MOST_ACCUMULATED)


def longest_rows(config: FineTuneJobConfig, rows: Sequence[Any], *, packed_length: int | None) -> list[Any]:
    """The longest encoded rows, as many as the step takes.

    `packed_length` is the length in tokens of the sequences that rows are packed into; None where they are not.
    """
    ordered = sorted(rows, key=lambda row: row.length, reverse=True)
    wanted = config.training.per_device_batch_size * batches_to_try(config)
    if isinstance(config.method, GrpoConfig):
        return ordered[: config.training.rows_per_step // config.method.num_generations]
    if packed_length is not None:
        return _filling(ordered, wanted * packed_length)
    return _both_labels(ordered, wanted)


def _filling(rows: Sequence[Any], tokens: int) -> list[Any]:
    chosen: list[Any] = []
    for row in rows:
        if tokens <= 0:
            break
        chosen.append(row)
        tokens -= row.tokens
    return chosen


def _both_labels(rows: Sequence[Any], count: int) -> list[Any]:
    """The first rows; where they are answers all good or all bad, the last of them makes room for one of the others."""
    chosen = list(rows[:count])
    if isinstance(chosen[0], UnpairedRow) and len({row.good for row in chosen}) == 1:
        other = next((row for row in rows[count:] if row.good != chosen[0].good), None)
        return chosen if other is None else [*chosen[:-1], other]
    return chosen
