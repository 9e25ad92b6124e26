"""Kahneman-Tversky optimisation: TRL's trainer on our rows, with its pairs for the divergence made in each batch."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import RandomSampler, Sampler
from transformers import TrainerCallback
from trl import KTOConfig, KTOTrainer
from trl.models.utils import _ForwardRedirection
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from pipeline.callbacks import last_value
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.errors import DataProblem
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.preference_reference import reference_for, settle_reference, stop_base_dropout
from pipeline.model_manager import LoadedModel
from pipeline.prompt_answer import PromptAnswerEncoder
from pipeline.unpaired_rows import UnpairedEncoder, UnpairedRow


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> UnpairedEncoder:
    """What turns answers with labels, and pairs of answers, into rows."""
    return UnpairedEncoder(PromptAnswerEncoder(loaded.tokenizer))


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "UnpairedTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`.

    Raises:
        DataProblem: all answers to train on have the same label.
    """
    refuse_one_label(data.train)
    arguments = training_arguments(
        config, loaded, output_dir=output_dir, max_length=data.max_length, evaluate=bool(data.evaluation)
    )
    train, evaluation = _dataset(data.train), None
    if data.evaluation:
        # The two answers of a pair come one after the other; apart, hardly any answer meets its own prompt again.
        evaluation = _dataset(data.evaluation).shuffle(seed=config.training.seed)
    collator = MismatchingCollator(
        pad_token_id=loaded.tokenizer.pad_token_id, max_length=data.max_length, spare_answers=_two_answers(data.train)
    )
    stop_base_dropout(loaded.model)
    trainer = UnpairedTrainer(
        choose_sampler(config, data.train),
        model=loaded.model,
        ref_model=reference_for(loaded),
        args=arguments,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )
    settle_reference(trainer)
    return trainer


def choose_sampler(config: FineTuneJobConfig, rows: Sequence[UnpairedRow]) -> Sampler[int]:
    """The order of the rows: random, unless they are to be grouped by length.

    The divergence is estimated from a batch and grows with the length of its answers: with rows of one length in a
    batch, long answers would be held to another measure than short ones.
    """
    if config.training.batching != "grouped":
        return RandomSampler(rows)
    return LengthGroupedSampler(
        [row.length for row in rows], batch_size=config.training.per_device_batch_size, seed=config.training.seed
    )


def training_arguments(
    config: FineTuneJobConfig, loaded: LoadedModel, *, output_dir: Path, max_length: int, evaluate: bool
) -> KTOConfig:
    """TRL's configuration with every field of ours in it."""
    return KTOConfig(
        **shared_arguments(config, loaded, output_dir=output_dir, evaluate=evaluate),
        beta=config.method.beta,
        desirable_weight=config.method.desirable_weight,
        undesirable_weight=config.method.undesirable_weight,
        max_length=max_length,
        # The adapter's own dropout is a setting; the base's is switched off before.
        disable_dropout=False,
        prediction_loss_only=True,
    )


def refuse_one_label(rows: Sequence[UnpairedRow]) -> None:
    """Raise DataProblem if all rows are good or all are bad."""
    if len({row.good for row in rows}) > 1:
        return
    label, other = ("good", "bad") if rows[0].good else ("bad", "good")
    raise DataProblem(
        f"All {len(rows):,} answers to train on are marked {label}, and KTO learns from the contrast of good and bad "
        f"ones. Add answers marked {other}" + (", or choose supervised fine-tuning." if rows[0].good else ".")
    )


@dataclass
class MismatchingCollator(DataCollatorForUnpairedPreference):
    """Batches rows, each prompt also with the answer of the row before it.

    How much likelier the model makes answers that do not belong to their prompts estimates how far it has moved as a
    whole (Ethayarajh et al. 2024, arXiv:2402.01306, section 4.1). TRL pairs once while it prepares the data, and so
    has to keep the rows in one order; paired here, they can be shuffled in every epoch.
    """

    # Of two rows that differ, for a batch of a single row.
    spare_answers: tuple[list[int], ...] = ()

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (rows, longest row) for answers and, with the prefix KL_, for mismatched answers."""
        answers = [example["completion_ids"] for example in examples]
        others = [answers[-1], *answers[:-1]]
        if len(answers) == 1:
            others = [next((answer for answer in self.spare_answers if answer != answers[0]), answers[0])]
        paired = zip(examples, others, strict=True)
        return super().torch_call([{**example, "KL_completion_ids": other} for example, other in paired])


class UnpairedTrainer(KTOTrainer):
    """TRL's trainer on rows that are token ids already, without logits of the whole vocabulary."""

    def __init__(self, sampler: Sampler[int], **arguments: Any) -> None:
        self.sampler = sampler
        super().__init__(**arguments)
        # TRL asks for the Liger package before it takes this path, which is its own and plain PyTorch.
        # The auxiliary loss of a mixture of experts needs the other one.
        self.use_liger_kernel = not self.aux_loss_enabled
        self._forward_redirection = _ForwardRedirection()

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        return self.sampler

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; its logged values are averages over rows, those of good and of bad answers over these."""
        if self._total_train_tokens == 0:
            # The history is in the checkpoint, so a resumed run counts on.
            self._total_train_tokens = int(last_value(self.state.log_history, "num_tokens"))
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        weigh_by_labels(self._metrics["train" if model.training else "eval"], inputs["label"].tolist())
        self._metrics["eval"].pop("num_tokens", None)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the margin between the logged rewards; TRL's leaves out batches that lack one kind of answer."""
        values = self._metrics["train" if self.model.training else "eval"]
        values.pop("rewards/margins", None)
        chosen, rejected = (values.get(f"rewards/{side}") for side in ("chosen", "rejected"))
        if chosen and rejected:
            values["rewards/margins"] = [fmean(chosen) - fmean(rejected)]
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: a checkpoint is not a published model."""


def weigh_by_labels(values: MutableMapping[str, list[float]], labels: Sequence[bool]) -> None:
    """Let the newest value of each name count for all rows of its batch that it speaks of; TRL averages over batches.

    TRL adds no value of a kind of answer that the batch lacks.
    """
    rows = {"chosen": sum(labels), "rejected": len(labels) - sum(labels)}
    for name, seen in values.items():
        seen += seen[-1:] * (rows.get(name.rpartition("/")[2], len(labels)) - 1)


def _dataset(rows: Sequence[UnpairedRow]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt_ids for row in rows],
            "completion_ids": [row.answer_ids for row in rows],
            "label": [row.good for row in rows],
        }
    )


def _two_answers(rows: Sequence[UnpairedRow]) -> tuple[list[int], ...]:
    """The answers of the first row and of the first that has another one."""
    first = rows[0].answer_ids
    return first, next((row.answer_ids for row in rows if row.answer_ids != first), first)
