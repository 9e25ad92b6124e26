"""What the trainers of preference pairs share: the order of pairs, and logged values."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from pipeline.callbacks import last_value
from pipeline.config import FineTuneJobConfig
from pipeline.length_groups import LengthGroupedSampler
from pipeline.preference_rows import PreferenceRow


def pair_sampler(config: FineTuneJobConfig, rows: Sequence[PreferenceRow]) -> LengthGroupedSampler | None:
    """What puts pairs of similar length into the same batch; None where the order is to be random."""
    if config.training.batching == "random":
        return None
    return LengthGroupedSampler(
        [row.length for row in rows], batch_size=config.training.per_device_batch_size, seed=config.training.seed
    )


def weigh_by_pairs(values: MutableMapping[str, list[float]], pairs: int) -> None:
    """Let the newest value of each name count for all `pairs` of its batch; TRL averages over batches of any size."""
    for seen in values.values():
        seen += seen[-1:] * (pairs - 1)


def count_on(trainer: Any) -> None:
    """Let a resumed run count its tokens on from the last logged value: TRL does not keep the count in checkpoints."""
    if trainer._total_train_tokens == 0:
        trainer._total_train_tokens = int(last_value(trainer.state.log_history, "num_tokens"))
