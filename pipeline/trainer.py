"""ModelTrainer: runs the training loop and writes what it has made."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainerState

from pipeline.callbacks import EVAL_PREFIX, TrackerCallback
from pipeline.checkpoints import last_checkpoint
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.errors import StorageFailed
from pipeline.evaluation.best_metric import best_metric
from pipeline.evaluation.early_stopping import EarlyStopping
from pipeline.evaluation.samples import sample_callbacks
from pipeline.events import RunMeasured, StopReason
from pipeline.exporters.adapter_weights import NotStreamable
from pipeline.exporters.merge import merge_adapter
from pipeline.job_tracker import JobTracker
from pipeline.measurements import Measurements
from pipeline.methods import method_for
from pipeline.methods.divergence import stop_on_divergence
from pipeline.model_manager import DTYPES, LoadedModel
from pipeline.providers import provider_for
from pipeline.providers.model_source import fetch_model
from pipeline.providers.quantization import trained_weights_kept
from pipeline.run_meter import RunMeter

logger = logging.getLogger(__name__)

SUMMARISED = ("loss", "mean_token_accuracy", "reward", "rewards/accuracies", "rewards/margins")
SPEED_OF_EVALUATION = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
CONFIG_BESIDE_WEIGHTS = "training_config.json"


@dataclass(frozen=True)
class TrainingOutcome:
    """How the training loop ended: its last values, the reason where that was before its last step, what it took."""

    metrics: dict[str, float]
    stop_reason: StopReason | None
    measured: Measurements


class ModelTrainer:
    """Trains a loaded model on prepared data and saves it into the tracker's run folder."""

    def __init__(
        self, config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData
    ) -> None:
        self.config = config
        self.tracker = tracker
        self.loaded = loaded
        self.data = data

    def train(self, meter: RunMeter) -> TrainingOutcome:
        """Run the loop to its end, or until a stop is requested, on from the last checkpoint if there is one.

        The `meter` was made before the model was loaded.

        Raises:
            TrainingDiverged: the loss is no longer a number; checkpoints stay as they are.
        """
        checkpoint = last_checkpoint(self.tracker.run_dir.checkpoints)
        resumed = "" if checkpoint is None else f", on from {checkpoint.name.replace('-', ' ')}"
        self.tracker.stage("training", f"Training on {len(self.data.train):,} rows{resumed}")
        progress = TrackerCallback(self.tracker)
        metric, patience = best_metric(self.config.method.kind), self.config.evaluation.early_stopping
        stopping = EarlyStopping(metric, patience=patience)
        samples = sample_callbacks(self.config, self.tracker, loaded=self.loaded, data=self.data)
        with trainer_for(
            self.config,
            self.loaded,
            data=self.data,
            output_dir=self.tracker.run_dir.checkpoints,
            callbacks=[progress, *samples, stopping, meter],
        ) as trainer:
            result = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        measured = meter.measured(trainer.state.log_history)
        self.tracker.record(RunMeasured(measured=measured))
        metrics = {
            "train_loss": result.training_loss,
            "train_seconds": result.metrics["train_runtime"],
            "steps": float(trainer.state.global_step),
            **_last_values(trainer.state, best_kept=trainer.args.load_best_model_at_end),
        }
        reason = "requested" if progress.stopped_early else stopping.reason
        return TrainingOutcome(metrics, reason, measured)

    def save(self) -> None:
        """Write the adapter, or the whole model after a full fine-tune, with tokenizer, template and configuration."""
        model = self.loaded.model
        if isinstance(model, PeftModel):
            self.tracker.stage("saving", "Saving the adapter")
            # Until now a folder on this disk, so that no checkpoint asked the Hub about it.
            model.active_peft_config.base_model_name_or_path = self.config.model.base_model
            # Embeddings are frozen; "auto" would ask the Hub about the base model.
            self._write("adapter", lambda folder: model.save_pretrained(folder, save_embedding_layers=False))
        else:
            self.tracker.stage("saving", "Saving the model")
            self._write("model", model.to(DTYPES[self.loaded.precision]).save_pretrained)

    def save_merged(self) -> None:
        """Write the adapter merged into its base model. The adapter is safe already, so a failure is only a warning."""
        self.tracker.stage("exporting", "Merging the adapter into the base model")
        try:
            self._write("merged", self._merge, with_tokenizer=False)
        except Exception as error:
            logger.exception("merging failed")
            self.tracker.warn(
                "merge_failed", f"The adapter is saved, but merging it into the base model failed: {error}"
            )

    def _merge(self, folder: Path) -> None:
        model, source, dtype = self.loaded.model, self.config.model, DTYPES[self.loaded.precision]
        adapter = self.tracker.run_dir.artifact("adapter")
        try:
            merge_adapter(fetch_model(source), adapter, folder, dtype=dtype, trust_remote_code=source.trust_remote_code)
        except NotStreamable as reason:
            logger.info("merging in memory, because %s", reason)
            rmtree(folder)
            folder.mkdir()
            provider_for(source.provider).save_merged(model, folder, config=source, dtype=dtype)
            self.loaded.processing.save_pretrained(folder)

    def _write(self, kind: str, save: Callable[[Path], None], *, with_tokenizer: bool = True) -> None:
        folder = self.tracker.run_dir.artifact(kind)
        partial = folder.with_name(f"{kind}.partial")
        try:
            rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save(partial)
            if with_tokenizer:
                self.loaded.processing.save_pretrained(partial)
            (partial / CONFIG_BESIDE_WEIGHTS).write_text(self.config.model_dump_json(indent=2), encoding="utf-8")
            rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except (OSError, SafetensorError) as error:
            raise StorageFailed(
                f"{folder} cannot be written: {error}. Free some space or check the permissions."
            ) from error
        self.tracker.artifact(kind)


@contextmanager
def trainer_for(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    *,
    data: PreparedData,
    output_dir: Path,
    callbacks: Sequence[TrainerCallback],
) -> Iterator[Trainer]:
    """The method's trainer, ready to train in the body, which raises TrainingDiverged where a loss is not finite."""
    with _special_tokens_kept(loaded.base):
        with trained_weights_kept(loaded.model):
            trainer = method_for(config.method.kind).build_trainer(
                config, loaded, data=data, output_dir=output_dir, callbacks=callbacks
            )
        stop_on_divergence(trainer)
        # transformers prints every log entry when its own progress bar is off.
        trainer.remove_callback(PrinterCallback)
        yield trainer


@contextmanager
def _special_tokens_kept(model: PreTrainedModel) -> Iterator[None]:
    """Undo what a trainer, from its making on, does to the model's special tokens.

    Without its end of turn, a saved model would not stop; and where the end token pads while training, the model's
    padding is still none.
    """
    changed = [model.config, model.config.get_text_config()]
    # A reward model writes nothing.
    changed += [model.generation_config] if model.can_generate() else []
    kept = [(config, {**vars(config)}) for config in changed]
    try:
        yield
    finally:
        for config, values in kept:
            if not model.can_generate():
                # A reward model finds the end of a text by its padding.
                values["pad_token_id"] = config.pad_token_id
            vars(config).clear()
            vars(config).update(values)


def _last_values(state: TrainerState, *, best_kept: bool) -> dict[str, float]:
    """The last values of training, and those of the evaluation whose weights were kept: the last or the best one."""
    evaluated = state.best_global_step if best_kept else None
    values: dict[str, float] = {}
    for entry in state.log_history:
        values |= {name: entry[name] for name in SUMMARISED if name in entry}
        if evaluated in (None, entry["step"]):
            values |= {name: value for name, value in entry.items() if _is_score(name) and value is not None}
    return values


def _is_score(name: str) -> bool:
    return name.startswith(EVAL_PREFIX) and name not in SPEED_OF_EVALUATION
