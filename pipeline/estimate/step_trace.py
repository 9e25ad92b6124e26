"""Traces one step of a run: its own trainer, model and rows, on hollow tensors."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import (
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProcessorMixin,
)
from transformers.utils import logging as transformers_logging

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.estimate.as_cuda import computing_as_cuda
from pipeline.estimate.hollow import hollow
from pipeline.estimate.hollow_model import hollow_model
from pipeline.estimate.ledger import Ledger, Peak
from pipeline.estimate.operations import Operation, Tally
from pipeline.estimate.step_watch import StepWatch
from pipeline.method_config import GrpoConfig
from pipeline.methods import method_for
from pipeline.model_manager import LoadedModel, Precision, choose_trainable, task_of, weight_dtype_of
from pipeline.one_step import MOST_ACCUMULATED, one_step_of
from pipeline.providers import Task, provider_for
from pipeline.providers.quantization import trained_weights_kept, weights_in
from pipeline.reward_config import RegexReward

# Making the optimiser's moments, which a run does once.
BEFORE = "before"
# All batches of a step, there and back.
BATCH = "batch"
# In the names of a text model's modules, beside those of an image encoder.
_OF_LAYER = re.compile(r"^(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d+)\.")
# PyTorch's CUDA allocator hands out multiples of 512 bytes (c10/cuda/CUDACachingAllocator, kMinBlockSize).
GPU_GRANULE = 512


@dataclass(frozen=True)
class LayerShare:
    """What a step has because of one layer: numbers of weights, and what is computed of its batches."""

    parameters: int
    trainable_parameters: int
    operations: Counter[Operation]


@dataclass(frozen=True)
class StepTrace:
    """Where the memory of a step goes, and what there is to compute. The parts are in the order of time.

    `batches` went through the model before the optimiser's update: one, or two where gradients add up.
    """

    peaks: Mapping[str, Peak]
    operations: Mapping[str, Mapping[Operation, float]]
    batches: int
    parameters: int
    trainable_parameters: int
    layers: Mapping[int, LayerShare] = field(default_factory=dict)

    @property
    def peak(self) -> tuple[str, Peak]:
        """The part of the step at which most memory is taken."""
        return max(
            ((part, peak) for part, peak in self.peaks.items() if part != BEFORE), key=lambda item: item[1].total
        )


def trace_step(
    config: FineTuneJobConfig,
    model_config: PreTrainedConfig,
    *,
    rows: Sequence[Any],
    tokenizer: PreTrainedTokenizerBase,
    processor: ProcessorMixin | None = None,
    precision: Precision,
    max_length: int,
    layers: Sequence[int],
    on_gpu: bool = False,
) -> StepTrace:
    """One optimiser step of `config` on `rows`, the encoded rows of one batch.

    `layers` are the names of the model's layers, in the names of the parts that begin with them.
    `on_gpu`: as it would be computed and stored on a GPU; else as on this machine's processor.
    """
    vocabulary = model_config.get_text_config().vocab_size
    ledger, tally = Ledger(granule=GPU_GRANULE if on_gpu else 1, vocabularies=[vocabulary]), Tally()
    device = torch.device("cpu")
    accumulated = min(config.training.gradient_accumulation_steps, MOST_ACCUMULATED)
    short = _without_judges(one_step_of(config, accumulated=accumulated))
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(hollow(device, ledger=ledger, listener=tally))
        if on_gpu:
            stack.enter_context(computing_as_cuda())
        task = task_of(config, sees_images=processor is not None)
        model = _model(
            config, model_config, task=task, precision=precision, device=device, ledger=ledger, layers=layers
        )
        loaded = LoadedModel(
            model=model,
            tokenizer=tokenizer,
            precision=precision,
            device=device,
            context_length=model_config.get_text_config().max_position_embeddings,
            processor=processor,
        )
        watch = StepWatch(ledger, tally)
        watch.mark_layers(loaded.base, layers)
        with trained_weights_kept(model):
            trainer = method_for(config.method.kind).build_trainer(
                short,
                loaded,
                data=PreparedData(list(rows) * accumulated, [], max_length),
                output_dir=Path(folder),
                callbacks=[watch],
            )
        watch.trainer = trainer
        reference = getattr(trainer, "ref_model", None)
        if reference is not None:
            ledger.assign(reference.parameters(), "weights")
            watch.mark_owners(reference, layers)
        if isinstance(config.method, GrpoConfig):
            _answer_at_once(trainer, tokens=config.method.max_completion_length)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    weights = list(model.parameters())
    return StepTrace(
        peaks=ledger.peaks,
        operations=tally.counts,
        batches=accumulated,
        parameters=sum(map(weights_in, weights)),
        trainable_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
        layers={
            name: LayerShare(
                parameters=sum(map(weights_in, layer.parameters())),
                trainable_parameters=sum(weight.numel() for weight in layer.parameters() if weight.requires_grad),
                operations=tally.by_layer[name],
            )
            for name, layer in zip(layers, loaded.base.get_decoder().layers, strict=True)
        },
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of the stand-ins, and without their progress bars."""
    usual = transformers_logging.get_verbosity()
    bars = are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(usual)
        if not bars:
            enable_progress_bars()


def _without_judges(config: FineTuneJobConfig) -> FineTuneJobConfig:
    """Answers that were not sampled are not judged; however many belong to a prompt, they are trained on together."""
    if not isinstance(config.method, GrpoConfig):
        return config
    answers = {"num_generations": config.training.rows_per_step, "rewards": (RegexReward(pattern="."),)}
    return config.model_copy(update={"method": config.method.model_copy(update=answers)})


def _model(
    config: FineTuneJobConfig,
    model_config: PreTrainedConfig,
    *,
    task: Task,
    precision: Precision,
    device: torch.device,
    ledger: Ledger,
    layers: Sequence[int],
) -> Any:
    def fill(name: str) -> None:
        found = _OF_LAYER.search(name)
        ledger.layer = layers[int(found[1])] if found else None

    base = hollow_model(
        config.model,
        model_config,
        task=task,
        weight_dtype=weight_dtype_of(config, precision),
        device=device,
        filling=fill,
    )
    ledger.layer = None
    ledger.assign([*base.parameters(), *base.buffers()], "weights")
    model = choose_trainable(base, config, task=task, provider=provider_for("huggingface"))
    if config.tuning.kind == "lora":
        ledger.assign([weight for weight in model.parameters() if weight.requires_grad], "adapter")
    return model


def _answer_at_once(trainer: Any, *, tokens: int) -> None:
    """What sampling costs is told by arithmetic; a model without weights would not know when to stop."""
    end = trainer.processing_class.eos_token_id
    trainer._generate_single_turn = lambda prompts, *_, **__: ([[end] * tokens for _ in prompts], None)
