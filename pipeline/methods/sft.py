"""Supervised fine-tuning: our configuration as TRL's, and TRL's trainer with our batches and loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTConfig, SFTTrainer

from pipeline.callbacks import last_value
from pipeline.chunked_loss import use_chunked_loss
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.evaluation.perplexity import perplexity
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods import Encoder
from pipeline.methods.arguments import shared_arguments
from pipeline.model_manager import LoadedModel
from pipeline.row_encoder import TokenizedRow
from pipeline.vision.rows import row_encoder

Batching = Literal["grouped", "packed", "random"]
# Attention implementations that keep packed rows apart without computing the products between them.
VARLEN_ATTENTION = {"flash_attention_2", "flash_attention_3"}


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> Encoder:
    """What turns conversations and texts, with images where the model sees them, into token ids and labels."""
    return row_encoder(loaded.tokenizer, loaded.processor, train_on=config.method.train_on)


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "ChunkedLossTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`."""
    if loaded.processor is not None:
        # It builds on this module.
        from pipeline.methods import sft_images

        return sft_images.build_trainer(config, loaded, data=data, output_dir=output_dir, callbacks=callbacks)
    batching = choose_batching(config, attention=loaded.attention)
    arguments = training_arguments(
        config,
        loaded,
        output_dir=output_dir,
        batching=batching,
        max_length=data.max_length,
        evaluate=bool(data.evaluation),
    )
    use_chunked_loss(loaded.base)
    return ChunkedLossTrainer(
        batching,
        model=loaded.model,
        args=arguments,
        train_dataset=_dataset(data.train),
        eval_dataset=_dataset(sorted(data.evaluation, key=_length)) if data.evaluation else None,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )


def choose_batching(config: FineTuneJobConfig, *, attention: str) -> Batching:
    """How rows become batches: packed where the attention keeps the rows of a batch apart, else grouped by length."""
    wanted = config.training.batching
    if wanted != "auto":
        return wanted
    # Unsloth packs in a way of its own.
    return "packed" if attention in VARLEN_ATTENTION and config.model.provider != "unsloth" else "grouped"


def training_arguments(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    output_dir: Path,
    batching: Batching,
    max_length: int,
    evaluate: bool,
) -> SFTConfig:
    """TRL's configuration with every field of ours in it."""
    return SFTConfig(
        **shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate),
        max_length=max_length,
        packing=batching == "packed",
        # The rows are tokenised and cut; what is left to do for packing, TRL does.
        dataset_kwargs={"skip_prepare_dataset": batching != "packed"},
        # Not "chunked_nll", which would put TRL's loss in the place of ours.
        loss_type="nll",
        prediction_loss_only=True,
    )


class ChunkedLossTrainer(SFTTrainer):
    """TRL's trainer; it groups rows by length, sums losses and hits over tokens, and stops before a broken update."""

    def __init__(self, batching: Batching, **arguments: Any) -> None:
        self.batching = batching
        super().__init__(**arguments)
        self.counts = _TokenCounts()

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        if self.batching != "grouped":
            return super()._get_train_sampler(train_dataset)
        return LengthGroupedSampler(
            [len(row) for row in self.train_dataset["input_ids"]],
            batch_size=self.args.train_batch_size,
            seed=self.args.seed,
        )

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler[int] | None:
        return SequentialSampler(eval_dataset)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The batch's summed loss over `num_items_in_batch`; TRL's own would compute the entropy of full logits."""
        inputs.pop("_prediction_loss_only", None)
        loss, outputs = Trainer.compute_loss(
            self, model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        real = inputs["attention_mask"].sum() if "attention_mask" in inputs else inputs["input_ids"].numel()
        self.counts.add(outputs, tokens=real)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the accuracy since the last log, and the real tokens since the start, to the training values."""
        if "loss" in logs:
            values = self.counts.take()
            # The history is in the checkpoint, so a resumed run counts on.
            seen = last_value(self.state.log_history, "num_tokens") + values.pop("tokens")
            logs |= {**values, "num_tokens": seen}
        Trainer.log(self, logs, start_time)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """Score the held-out rows; every trained token weighs the same, however the rows are batched."""
        training_counts, self.counts = self.counts, _TokenCounts()
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        loss = self.counts.mean_loss()
        output.metrics[f"{metric_key_prefix}_loss"] = loss
        output.metrics[f"{metric_key_prefix}_perplexity"] = perplexity(loss)
        output.metrics[f"{metric_key_prefix}_mean_token_accuracy"] = self.counts.take()["mean_token_accuracy"]
        self.counts = training_counts
        return output

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


class _TokenCounts:
    """Sums over batches, kept as tensors so that reading them does not stall a GPU."""

    def __init__(self) -> None:
        self.loss: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.trained: torch.Tensor | int = 0
        self.tokens: torch.Tensor | int = 0

    def add(self, outputs: Any, *, tokens: torch.Tensor | int) -> None:
        self.loss = self.loss + outputs.summed_loss
        self.correct = self.correct + outputs.correct_tokens
        self.trained = self.trained + outputs.trained_tokens
        self.tokens = self.tokens + tokens

    def mean_loss(self) -> float:
        return float(self.loss) / max(1, int(self.trained))

    def take(self) -> dict[str, float]:
        values = {
            "mean_token_accuracy": float(self.correct) / max(1, int(self.trained)),
            "tokens": float(self.tokens),
        }
        self.__init__()
        return values


def _dataset(rows: Sequence[TokenizedRow]) -> Dataset:
    return Dataset.from_dict({"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]})


def _length(row: TokenizedRow) -> int:
    return len(row.input_ids)
