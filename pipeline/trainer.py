"""ModelTrainer: runs the training loop and writes what it has made."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from peft import PeftModel
from transformers import PreTrainedModel, PrinterCallback

from pipeline.callbacks import TrackerCallback
from pipeline.checkpoints import last_checkpoint
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.errors import StorageFailed
from pipeline.job_tracker import JobTracker
from pipeline.methods import method_for
from pipeline.methods.divergence import stop_on_divergence
from pipeline.model_manager import DTYPES, LoadedModel
from pipeline.providers import provider_for

logger = logging.getLogger(__name__)

SUMMARISED = ("loss", "mean_token_accuracy", "eval_loss", "eval_mean_token_accuracy")
CONFIG_BESIDE_WEIGHTS = "training_config.json"


@dataclass(frozen=True)
class TrainingOutcome:
    """How the training loop ended: its last values, and whether somebody stopped it."""

    metrics: dict[str, float]
    stopped_early: bool


class ModelTrainer:
    """Trains a loaded model on prepared data and saves it into the tracker's run folder."""

    def __init__(
        self, config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData
    ) -> None:
        self.config = config
        self.tracker = tracker
        self.loaded = loaded
        self.data = data

    def train(self) -> TrainingOutcome:
        """Run the loop to its end, or until a stop is requested, on from the last checkpoint if there is one.

        Raises:
            TrainingDiverged: the loss is no longer a number; checkpoints stay as they are.
        """
        checkpoint = last_checkpoint(self.tracker.run_dir.checkpoints)
        resumed = "" if checkpoint is None else f", on from {checkpoint.name.replace('-', ' ')}"
        self.tracker.stage("training", f"Training on {len(self.data.train):,} rows{resumed}")
        callback = TrackerCallback(self.tracker)
        trainer = method_for(self.config.method.kind).build_trainer(
            self.config,
            self.loaded,
            data=self.data,
            output_dir=self.tracker.run_dir.checkpoints,
            callbacks=[callback],
        )
        stop_on_divergence(trainer)
        # transformers prints every log entry when its own progress bar is off.
        trainer.remove_callback(PrinterCallback)
        with _special_tokens_kept(self.loaded.base):
            result = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        metrics = {
            "train_loss": result.training_loss,
            "train_seconds": result.metrics["train_runtime"],
            "steps": float(trainer.state.global_step),
            **_last_values(trainer.state.log_history),
        }
        return TrainingOutcome(metrics, callback.stopped_early)

    def save(self) -> None:
        """Write the adapter, or the whole model after a full fine-tune, with tokenizer, template and configuration."""
        model = self.loaded.model
        if isinstance(model, PeftModel):
            self.tracker.stage("saving", "Saving the adapter")
            # Embeddings are frozen; "auto" would ask the Hub about the base model.
            self._write("adapter", lambda folder: model.save_pretrained(folder, save_embedding_layers=False))
        else:
            self.tracker.stage("saving", "Saving the model")
            self._write("model", model.to(DTYPES[self.loaded.precision]).save_pretrained)

    def save_merged(self) -> None:
        """Write the adapter merged into its base model. The adapter is safe already, so a failure is only a warning."""
        self.tracker.stage("exporting", "Merging the adapter into the base model")
        provider, model = provider_for(self.config.model.provider), self.loaded.model
        try:
            self._write("merged", lambda folder: provider.save_merged(model, folder))
        except Exception as error:
            logger.exception("merging failed")
            self.tracker.warn(
                "merge_failed", f"The adapter is saved, but merging it into the base model failed: {error}"
            )

    def _write(self, kind: str, save: Callable[[Path], None]) -> None:
        folder = self.tracker.run_dir.artifact(kind)
        partial = folder.with_name(f"{kind}.partial")
        try:
            rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save(partial)
            self.loaded.tokenizer.save_pretrained(partial)
            (partial / CONFIG_BESIDE_WEIGHTS).write_text(self.config.model_dump_json(indent=2), encoding="utf-8")
            rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except OSError as error:
            raise StorageFailed(
                f"{folder} cannot be written: {error}. Free some space or check the permissions."
            ) from error
        self.tracker.artifact(kind)


@contextmanager
def _special_tokens_kept(model: PreTrainedModel) -> Iterator[None]:
    """Undo what the trainer does to the model's end tokens: without its end of turn, a saved model would not stop."""
    changed = (model.config, model.config.get_text_config(), model.generation_config)
    kept = [(config, {**vars(config)}) for config in changed]
    try:
        yield
    finally:
        for config, values in kept:
            vars(config).clear()
            vars(config).update(values)


def _last_values(history: list[dict[str, float]]) -> dict[str, float]:
    """The last training and evaluation loss and accuracy, and the perplexity of the evaluation."""
    values: dict[str, float] = {}
    for entry in history:
        values |= {name: entry[name] for name in SUMMARISED if name in entry}
    if "eval_loss" in values:
        values["eval_perplexity"] = math.exp(min(values["eval_loss"], 700.0))
    return values
