"""Traces one step of a run: its own trainer, model and rows, on hollow tensors."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.estimate.as_cuda import computing_as_cuda
from pipeline.estimate.hollow import hollow
from pipeline.estimate.hollow_model import hollow_model
from pipeline.estimate.ledger import Ledger, Peak
from pipeline.estimate.operations import Operation, Tally
from pipeline.methods import method_for
from pipeline.model_manager import LoadedModel, Precision, choose_trainable, task_of, weight_dtype_of
from pipeline.one_step import MOST_ACCUMULATED, make_moments, one_step_of
from pipeline.providers import provider_for
from pipeline.providers.quantization import trained_weights_kept

# PyTorch's CUDA allocator hands out multiples of 512 bytes (c10/cuda/CUDACachingAllocator, kMinBlockSize).
GPU_GRANULE = 512


@dataclass(frozen=True)
class StepTrace:
    """Where the memory of a step goes, and what there is to compute. The parts are in the order of time.

    `batches` went through the model before the optimiser's update: one, or two where gradients add up.
    """

    peaks: Mapping[str, Peak]
    operations: Mapping[str, Counter[Operation]]
    batches: int
    parameters: int
    trainable_parameters: int


def trace_step(
    config: FineTuneJobConfig,
    model_config: PreTrainedConfig,
    *,
    rows: Sequence[Any],
    tokenizer: PreTrainedTokenizerBase,
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
    short = one_step_of(config, accumulated=accumulated)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(hollow(device, ledger=ledger, listener=tally))
        if on_gpu:
            stack.enter_context(computing_as_cuda())
        model = _model(config, model_config, precision=precision, device=device, ledger=ledger)
        loaded = LoadedModel(
            model=model,
            tokenizer=tokenizer,
            precision=precision,
            device=device,
            context_length=model_config.get_text_config().max_position_embeddings,
        )
        watch = _Watch(ledger, tally)
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
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    weights = list(model.parameters())
    return StepTrace(
        peaks=ledger.peaks,
        operations=tally.counts,
        batches=accumulated,
        parameters=sum(weight.numel() for weight in weights),
        trainable_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
    )


def _model(
    config: FineTuneJobConfig,
    model_config: PreTrainedConfig,
    *,
    precision: Precision,
    device: torch.device,
    ledger: Ledger,
) -> Any:
    task = task_of(config, sees_images=False)
    base = hollow_model(
        config.model, model_config, task=task, weight_dtype=weight_dtype_of(config, precision), device=device
    )
    ledger.assign([*base.parameters(), *base.buffers()], "weights")
    model = choose_trainable(base, config, task=task, provider=provider_for("huggingface"))
    if config.tuning.kind == "lora":
        ledger.assign([weight for weight in model.parameters() if weight.requires_grad], "adapter")
    return model


class _Watch(TrainerCallback):
    """Says which part of the step is going on, and what gradients and moments are for."""

    def __init__(self, ledger: Ledger, tally: Tally) -> None:
        self.ledger = ledger
        self.tally = tally
        self.trainer: Any = None

    def enter(self, part: str) -> None:
        """All that is between two parts of the loop is of one kind of work."""
        self.ledger.enter(part)
        self.tally.enter(part)

    def mark_layers(self, base: PreTrainedModel, names: Sequence[int]) -> None:
        """Tell the layers apart, on the way to the loss and on the way back."""
        layers = base.get_decoder().layers
        for name, layer in zip(names, layers, strict=True):
            layer.register_forward_pre_hook(self._marks_forward(f"forward {name}"))
            layer.register_forward_hook(self._marks_backward(f"backward {name}"))
        layers[-1].register_forward_hook(self._marks_forward("loss"))

    def _marks_forward(self, part: str) -> Callable[..., None]:
        def mark(*_: Any) -> None:
            # A layer that is computed again belongs to the backward pass.
            if torch._C._current_graph_task_id() == -1:
                self.ledger.enter(part)

        return mark

    def _marks_backward(self, part: str) -> Callable[..., None]:
        def mark(module: torch.nn.Module, args: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if states.requires_grad and torch._C._current_graph_task_id() == -1:
                states.register_hook(lambda _: self.ledger.enter(part))

        return mark

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The moments of the optimiser are there before a step but the first."""
        optimizer = self.trainer.optimizer
        make_moments(optimizer)
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            weight.register_post_accumulate_grad_hook(lambda weight: self.ledger.assign([weight.grad], "gradients"))
        moments = [value for kept in optimizer.state.values() for value in kept.values()]
        self.ledger.assign([value for value in moments if isinstance(value, torch.Tensor) and value.dim()], "optimizer")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("batch")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("optimizer")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("after")
