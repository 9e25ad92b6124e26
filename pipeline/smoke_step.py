"""Tries a run for real: one step on its longest rows, and the saving of what it changed. For child processes only."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import TrainerCallback

from pipeline.callbacks import peak_memory_bytes
from pipeline.checks import smoke as findings
from pipeline.checks.finding import Finding
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.errors import TrainingDiverged
from pipeline.job_tracker import JobTracker
from pipeline.method_config import GrpoConfig
from pipeline.methods.sft import choose_batching
from pipeline.model_manager import DTYPES, LoadedModel
from pipeline.one_step import make_moments, one_step_of
from pipeline.smoke_rows import batches_to_try, longest_rows
from pipeline.trainer import ModelTrainer, trainer_for

_PACKABLE = ("sft", "cpt")
# Enough of each weight to see a change, and no memory to speak of.
_WATCHED_NUMBERS = 256


@dataclass(frozen=True)
class StepOutcome:
    """What the step found and took: seconds, and bytes at the peak."""

    findings: list[Finding]
    peak_memory: int
    step_seconds: float
    longest_tokens: int
    rows: int
    loss: float | None


def try_step(config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData) -> StepOutcome:
    """One optimiser step by the method's own trainer on the longest rows. Raises whatever the run would raise."""
    packed = config.method.kind in _PACKABLE and loaded.processor is None
    packed = packed and choose_batching(config, attention=loaded.attention) == "packed"
    rows = longest_rows(config, data.train, packed_length=data.max_length if packed else None)
    longest = data.max_length if packed else max(row.length for row in rows)
    tracker.stage("training", f"One step on the {len(rows):,} longest rows, of up to {longest:,} tokens")
    watch = _Watch()
    found: list[Finding] = []
    with trainer_for(
        one_step_of(config, accumulated=batches_to_try(config)),
        loaded,
        data=PreparedData(rows, [], data.max_length),
        output_dir=tracker.run_dir.checkpoints,
        callbacks=[watch],
    ) as trainer:
        try:
            trainer.train()
        except TrainingDiverged:
            found.append(findings.not_finite(config, what="The loss", precision=loaded.precision))
    logged: dict[str, float] = next((entry for entry in trainer.state.log_history if "loss" in entry), {})
    if not found:
        skipped = trainer.accelerator.optimizer_step_was_skipped
        found += _learned(config, logged, watch=watch, precision=loaded.precision, skipped=skipped)
    if isinstance(config.method, GrpoConfig) and "completions/mean_length" in logged:
        mean, most = logged["completions/mean_length"], config.method.max_completion_length
        found += [findings.answers_sampled(mean, most=most)] if mean < most else []
    return StepOutcome(found, peak_memory_bytes(), watch.seconds, longest, len(rows), logged.get("loss"))


def try_saving(
    config: FineTuneJobConfig, tracker: JobTracker, *, loaded: LoadedModel, data: PreparedData
) -> list[Finding]:
    """Save the result as the run would, read it again, and compare. The model is of no use afterwards.

    Raises:
        StorageFailed: it cannot be written.
    """
    folder = tracker.run_dir.path
    if not isinstance(loaded.model, PeftModel):
        needed = sum(weight.numel() for weight in loaded.model.parameters()) * DTYPES[loaded.precision].itemsize
        free = disk_usage(folder).free
        if free < needed:
            return [findings.save_skipped(needed, free)]
    ModelTrainer(config, tracker, loaded=loaded, data=data).save()
    if isinstance(loaded.model, PeftModel):
        wrong = differing_adapter(loaded.model, tracker.run_dir.artifact("adapter"))
    else:
        wrong = _differing_model(loaded.model, tracker.run_dir.artifact("model"))
    return [findings.adapter_differs(wrong)] if wrong else []


def _learned(
    config: FineTuneJobConfig, logged: dict[str, float], *, watch: "_Watch", precision: str, skipped: bool
) -> list[Finding]:
    if skipped:
        return [findings.step_skipped()]
    steepness = logged["grad_norm"]
    if not math.isfinite(steepness):
        return [findings.not_finite(config, what="The gradient", precision=precision)]
    return [] if steepness > 0 and watch.changed() else [findings.nothing_learned(config)]


def differing_adapter(model: PeftModel, folder: Path) -> list[str]:
    """Names of the adapter's tensors that are others when it is loaded onto the base again."""
    trained = {name: tensor.detach().clone() for name, tensor in _adapter(model).items()}
    again = _adapter(PeftModel.from_pretrained(model.unload(), folder))
    names = sorted({*trained, *again})
    return [name for name in names if name not in trained or not _same(trained[name], again.get(name))]


def _adapter(model: PeftModel) -> dict[str, torch.Tensor]:
    # "auto" would ask the Hub about the base model.
    tensors: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return tensors


def _differing_model(model: torch.nn.Module, folder: Path) -> list[str]:
    """Names of the saved tensors that are others than the model's of the same name."""
    held, wrong = model.state_dict(), []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as saved:
            wrong += [name for name in saved.keys() if name in held and not _same(held[name], saved.get_tensor(name))]  # noqa: SIM118
    return sorted(wrong)


def _same(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and torch.equal(one.cpu(), other.cpu())


class _Watch(TrainerCallback):
    """Times the step, and looks at the beginning of each trained weight before and after it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        self._before: list[tuple[torch.nn.Parameter, torch.Tensor]] = []

    def changed(self) -> bool:
        """Whether any weight is another than before the step."""
        return any(not torch.equal(_beginning(weight), before) for weight, before in self._before)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the memory that the optimiser has in all steps but the first."""
        make_moments(kwargs["optimizer"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        trained = [weight for weight in kwargs["model"].parameters() if weight.requires_grad]
        self._before = [(weight, _beginning(weight).clone()) for weight in trained]
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it when the device has done its work."""
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        self.seconds = time.perf_counter() - self._began


def _beginning(weight: torch.nn.Parameter) -> torch.Tensor:
    return weight.detach().reshape(-1)[:_WATCHED_NUMBERS]
