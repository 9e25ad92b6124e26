"""Supervised fine-tuning on rows with images: the trainer of text rows with batches of its own."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline.callbacks import TrackerCallback
from pipeline.chunked_loss import use_chunked_loss
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.methods.sft import ChunkedLossTrainer, training_arguments
from pipeline.model_manager import LoadedModel
from pipeline.vision.collator import LEFT_OUT, ImageCollator
from pipeline.vision.rows import image_dataset

logger = logging.getLogger(__name__)

# Reading and resizing an image takes tens of milliseconds of a core, which a GPU would wait for.
WORKERS_BESIDE_GPU = 4
TOLD_LEFT_OUT = 20


def build_trainer(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> "ImageTrainer":
    """The trainer for this configuration, which writes its checkpoints below `output_dir`."""
    batching = "random" if config.training.batching == "random" else "grouped"
    arguments = training_arguments(
        config,
        loaded,
        output_dir=output_dir,
        batching=batching,
        max_length=data.max_length,
        evaluate=bool(data.evaluation),
    )
    # The collator needs what TRL takes for superfluous.
    arguments.remove_unused_columns = False
    if loaded.device.type == "cuda":
        arguments.dataloader_num_workers = WORKERS_BESIDE_GPU
        arguments.dataloader_persistent_workers = True
    use_chunked_loss(loaded.base)
    trainer = ImageTrainer(
        batching,
        warn=_warning(callbacks),
        model=loaded.model,
        args=arguments,
        data_collator=ImageCollator(loaded.processor),
        train_dataset=image_dataset(data.train),
        eval_dataset=image_dataset(sorted(data.evaluation, key=lambda row: row.length)) if data.evaluation else None,
        processing_class=loaded.processor,
        callbacks=[*callbacks, _NoGradientsOfImages(loaded.base)],
    )
    # TRL has done it once already, and what is done twice cannot all be undone.
    loaded.base.disable_input_require_grads()
    return trainer


class ImageTrainer(ChunkedLossTrainer):
    """Tells of rows whose images could not be read when their turn came."""

    def __init__(self, *arguments: Any, warn: Callable[[str, str], None], **keywords: Any) -> None:
        self.warn = warn
        self._told: set[int] = set()
        super().__init__(*arguments, **keywords)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The summed loss over `num_items_in_batch`, which may be 0 where no row of a step could be read."""
        self._tell(inputs.pop(LEFT_OUT))
        if num_items_in_batch is not None:
            num_items_in_batch = torch.as_tensor(num_items_in_batch).clamp(min=1)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _tell(self, left_out: Sequence[tuple[int, str]]) -> None:
        for row, reason in left_out:
            if row in self._told or len(self._told) == TOLD_LEFT_OUT:
                continue
            self._told.add(row)
            self.warn("image_unreadable", f"Row {row} is left out while training: {reason}.")


class _NoGradientsOfImages(TrainerCallback):
    """Keeps the backward pass out of the frozen vision tower.

    For gradient checkpointing, transformers makes the outputs of all embeddings require gradients, those of images too.
    Checkpoints that are not reentrant need none of it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Undo it when the loop has set the model up."""
        self.model.disable_input_require_grads()


def _warning(callbacks: Sequence[TrainerCallback]) -> Callable[[str, str], None]:
    """How to tell the user, where somebody listens; else the log."""
    trackers = [callback.tracker for callback in callbacks if isinstance(callback, TrackerCallback)]
    return trackers[0].warn if trackers else lambda _, message: logger.warning(message)
