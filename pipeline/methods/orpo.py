"""Odds-ratio preference optimisation: TRL's trainer on our token ids, without logits of the whole vocabulary."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.import_utils import TRLExperimentalWarning

from pipeline.callbacks import last_value
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.preference_logps import token_log_probabilities
from pipeline.methods.preference_pairs import pair_sampler
from pipeline.methods.preference_reference import stop_base_dropout
from pipeline.model_manager import LoadedModel
from pipeline.preference_rows import PreferenceEncoder, PreferenceRow
from pipeline.prompt_answer import PromptAnswerEncoder
from pipeline.row_encoder import IGNORED

with warnings.catch_warnings():
    # It says that the next version may differ; the version is pinned.
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

Forward = tuple[torch.Tensor, ...]


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> PreferenceEncoder:
    """What turns preference pairs into token ids, with TRL's end token behind the template's end of turn."""
    return PreferenceEncoder(PromptAnswerEncoder(loaded.tokenizer), end_id=loaded.tokenizer.eos_token_id)


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "ChunkedOrpoTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`."""
    stop_base_dropout(loaded.model)
    return ChunkedOrpoTrainer(
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
) -> ORPOConfig:
    """TRL's configuration with every field of ours in it."""
    return ORPOConfig(
        **shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate),
        beta=config.method.beta,
        max_length=max_length,
        # The adapter's own dropout is a setting; the base's is switched off before.
        disable_dropout=False,
        remove_unused_columns=False,
        prediction_loss_only=True,
    )


class ChunkedOrpoTrainer(ORPOTrainer):
    """TRL's trainer on pairs of token ids, with `sampler` for their order where it is not random."""

    def __init__(self, sampler: LengthGroupedSampler | None, **arguments: Any) -> None:
        self.sampler = sampler
        self.tokens: torch.Tensor | int = 0
        super().__init__(**arguments)

    def tokenize_row(self, feature: dict[str, Any], model: torch.nn.Module | None = None) -> dict[str, Any]:
        """The row as it is: token ids already."""
        return feature

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        return super()._get_train_sampler(train_dataset) if self.sampler is None else self.sampler

    def concatenated_forward(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> Forward:
        """Mean log-probabilities of the answers, (pairs,) each, and the loss on the chosen prompts and answers.

        In the place of the logits, which are never there as a whole, are empty tensors.
        """
        if self.aux_loss_enabled:
            return super().concatenated_forward(model, batch)
        both = self.concatenated_inputs(batch, padding_value=self.padding_value, device=self.accelerator.device)
        pairs = len(batch["chosen_labels"])
        mask = both["concatenated_attention_mask"]
        answers = both["concatenated_labels"][:, 1:] != IGNORED
        wanted = answers.clone()
        wanted[:pairs] = mask[:pairs, 1:] == 1
        with self.accelerator.autocast():
            logps = token_log_probabilities(
                self.accelerator.unwrap_model(model), both["concatenated_input_ids"], mask, wanted=wanted
            )
        loss = -logps[:pairs][wanted[:pairs]].mean()
        means = (logps * answers).sum(-1) / answers.sum(-1)
        no_logits = logps.new_empty(0)
        return means[:pairs], means[pairs:], no_logits, no_logits, loss

    def get_batch_loss_metrics(
        self, model: torch.nn.Module, batch: dict[str, torch.Tensor], train_eval: Literal["train", "eval"] = "train"
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """TRL's loss, and its values without the mean logits, which say nothing about the answers."""
        loss, values = super().get_batch_loss_metrics(model, batch, train_eval)
        if train_eval == "train":
            self.tokens = self.tokens + batch["chosen_attention_mask"].sum() + batch["rejected_attention_mask"].sum()
        self.pairs = len(batch["chosen_labels"])
        return loss, {name: value for name, value in values.items() if "logits/" not in name}

    def store_metrics(self, metrics: dict[str, float], train_eval: Literal["train", "eval"] = "train") -> None:
        """Keep the values of a batch once for each of its pairs: TRL averages over batches of any size."""
        for _ in range(self.pairs):
            super().store_metrics(metrics, train_eval)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the tokens since the start, which TRL does not count."""
        if "loss" in logs:
            # The history is in the checkpoint, so a resumed run counts on.
            logs["num_tokens"] = last_value(self.state.log_history, "num_tokens") + float(self.tokens)
            self.tokens = 0
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


def _dataset(rows: Sequence[PreferenceRow]) -> Dataset:
    columns: dict[str, list[list[int]]] = {}
    for side in ("chosen", "rejected"):
        answers = [getattr(row, f"{side}_ids") for row in rows]
        prompts = [row.prompt_ids for row in rows]
        ids = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        columns[f"{side}_input_ids"] = ids
        columns[f"{side}_attention_mask"] = [[1] * len(sequence) for sequence in ids]
        columns[f"{side}_labels"] = [
            [IGNORED] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)
        ]
    return Dataset.from_dict(columns)
