"""Reward model: TRL's trainer on our token ids; what is learnt is a score of each answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import RewardConfig, RewardTrainer

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example, UnusableRow
from pipeline.data_manager import PreparedData
from pipeline.events import RowDropped
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.preference_pairs import count_on, pair_sampler, weigh_by_pairs
from pipeline.methods.preference_reference import stop_base_dropout
from pipeline.model_manager import LoadedModel
from pipeline.preference_rows import PreferenceEncoder, PreferenceRow
from pipeline.prompt_answer import PromptAnswerEncoder


@dataclass(frozen=True)
class ScoredPair(PreferenceRow):
    """A pair that is scored at the ends of its answers, so that neither can be cut."""

    def cut(self, max_length: int) -> list[Self]:
        """The row itself.

        Raises:
            UnusableRow: it is longer than `max_length`; TRL leaves such rows out too.
        """
        if self.length > max_length:
            raise UnusableRow(f"it has {self.length} tokens, the limit is {max_length}, and an answer is scored whole")
        return [self]


class ScoredPairEncoder:
    """Tokenises preference pairs for scoring."""

    def __init__(self, encoder: PreferenceEncoder) -> None:
        self._encoder = encoder

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[ScoredPair]:
        """The rows in their order; pairs that cannot be compared go to `on_dropped` with the reason."""
        rows = self._encoder.encode(examples, on_dropped=on_dropped)
        return [ScoredPair(row.row, row.prompt_ids, row.chosen_ids, row.rejected_ids) for row in rows]


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> ScoredPairEncoder:
    """What turns preference pairs into token ids."""
    return ScoredPairEncoder(PreferenceEncoder(PromptAnswerEncoder(loaded.tokenizer)))


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "PairScoreTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`."""
    stop_base_dropout(loaded.model)
    return PairScoreTrainer(
        pair_sampler(config, data.train),
        model=loaded.model,
        args=training_arguments(
            config, loaded, output_dir=output_dir, max_length=data.max_length, evaluate=bool(data.evaluation)
        ),
        train_dataset=_dataset(data.train),
        eval_dataset=_dataset(data.evaluation) if data.evaluation else None,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )


def training_arguments(
    config: FineTuneJobConfig, loaded: LoadedModel, *, output_dir: Path, max_length: int, evaluate: bool
) -> RewardConfig:
    """TRL's configuration with every field of ours in it."""
    return RewardConfig(
        **shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate),
        center_rewards_coefficient=config.method.center_rewards_coefficient,
        max_length=max_length,
        # The adapter's own dropout is a setting; the base's is switched off before.
        disable_dropout=False,
        prediction_loss_only=True,
    )


class PairScoreTrainer(RewardTrainer):
    """TRL's trainer, with `sampler` for the order of the pairs where it is not random."""

    def __init__(self, sampler: LengthGroupedSampler | None, **arguments: Any) -> None:
        self.sampler = sampler
        super().__init__(**arguments)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        return super()._get_train_sampler(train_dataset) if self.sampler is None else self.sampler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; its logged values are averages over pairs."""
        pairs = len(inputs["input_ids"]) // 2
        count_on(self)
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        weigh_by_pairs(self._metrics["train" if model.training else "eval"], pairs)
        self._metrics["eval"].pop("num_tokens", None)
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


def _dataset(rows: Sequence[ScoredPair]) -> Dataset:
    return Dataset.from_dict(
        {
            "chosen_ids": [row.prompt_ids + row.chosen_ids for row in rows],
            "rejected_ids": [row.prompt_ids + row.rejected_ids for row in rows],
        }
    )
