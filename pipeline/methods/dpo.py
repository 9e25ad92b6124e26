"""Direct preference optimisation: TRL's trainer on our token ids, without logits of the whole vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.preference_logps import use_chunked_logps
from pipeline.methods.preference_pairs import count_on, pair_sampler, weigh_by_pairs
from pipeline.methods.preference_reference import reference_for, settle_reference, stop_base_dropout
from pipeline.model_manager import LoadedModel
from pipeline.preference_rows import PreferenceEncoder, PreferenceRow
from pipeline.prompt_answer import PromptAnswerEncoder


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> PreferenceEncoder:
    """What turns preference pairs into token ids."""
    return PreferenceEncoder(PromptAnswerEncoder(loaded.tokenizer))


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "ChunkedDpoTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`.

    The reference is the model with its adapter switched off. A full fine-tune has none to switch off, so the
    reference's log-probabilities are computed before the first step: two numbers a pair, where a copy of the model
    would take its whole memory and a forward pass in each epoch.
    """
    arguments = training_arguments(
        config, loaded, output_dir=output_dir, max_length=data.max_length, evaluate=bool(data.evaluation)
    )
    stop_base_dropout(loaded.model)
    trainer = ChunkedDpoTrainer(
        pair_sampler(config, data.train),
        model=loaded.model,
        ref_model=None if arguments.precompute_ref_log_probs else reference_for(loaded),
        args=arguments,
        train_dataset=_dataset(data.train),
        eval_dataset=_dataset(data.evaluation) if data.evaluation else None,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )
    settle_reference(trainer)
    return trainer


def training_arguments(
    config: FineTuneJobConfig, loaded: LoadedModel, *, output_dir: Path, max_length: int, evaluate: bool
) -> DPOConfig:
    """TRL's configuration with every field of ours in it."""
    method = config.method
    return DPOConfig(
        **shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate),
        beta=method.beta,
        loss_type=method.loss_type,
        label_smoothing=method.label_smoothing,
        max_length=max_length,
        precompute_ref_log_probs=not isinstance(loaded.model, PeftModel),
        # The adapter's own dropout is a setting; the base's is switched off before.
        disable_dropout=False,
        prediction_loss_only=True,
    )


class ChunkedDpoTrainer(DPOTrainer):
    """TRL's trainer on pairs of token ids, with `sampler` for their order where it is not random."""

    def __init__(self, sampler: LengthGroupedSampler | None, **arguments: Any) -> None:
        self.sampler = sampler
        super().__init__(**arguments)
        use_chunked_logps(self)

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *args: Any) -> Dataset:
        use_chunked_logps(self)
        return super()._precompute_ref_logps(*args)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        return super()._get_train_sampler(train_dataset) if self.sampler is None else self.sampler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; its logged values are averages over pairs."""
        count_on(self)
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        weigh_by_pairs(self._metrics["train" if model.training else "eval"], len(inputs["input_ids"]) // 2)
        self._metrics["eval"].pop("num_tokens", None)
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


def _dataset(rows: Sequence[PreferenceRow]) -> Dataset:
    columns = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [getattr(row, name) for row in rows] for name in columns})
