"""Says which part of a traced step is going on, and what gradients and moments are for."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from pipeline.estimate.ledger import Ledger
from pipeline.estimate.operations import Tally
from pipeline.one_step import make_moments


class StepWatch(TrainerCallback):
    """Tells the ledger and the tally; `trainer` is set once it is built."""

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
