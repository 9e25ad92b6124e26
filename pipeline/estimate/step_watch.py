"""Says which part of a traced step is going on, for which layer, and what gradients and moments are for."""

from collections.abc import Callable, Iterator, Sequence
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
        self._layers: list[tuple[int, torch.nn.Module]] = []

    def enter(self, part: str) -> None:
        """All that is between two parts of the loop is of one kind of work."""
        self.ledger.enter(part)
        self.tally.enter(part)

    def mark_layers(self, base: PreTrainedModel, names: Sequence[int]) -> None:
        """Tell the layers apart, on the way to the loss and on the way back."""
        layers = base.get_decoder().layers
        for name, layer in zip(names, layers, strict=True):
            layer.register_forward_pre_hook(self._marks_forward(f"forward {name}"))
            layer.register_forward_hook(self._marks_backward(name))
        layers[-1].register_forward_hook(self._marks_forward("loss"))
        self.mark_owners(base, names)

    def mark_owners(self, base: PreTrainedModel, names: Sequence[int]) -> None:
        """Tell what is of which layer, in the model that is trained and in one that it is compared with."""
        for name, layer in zip(names, base.get_decoder().layers, strict=True):
            layer.register_forward_pre_hook(self._begins(name))
            layer.register_forward_hook(self._ends)
            self._layers.append((name, layer))

    def weights(self) -> Iterator[tuple[int, torch.nn.Parameter]]:
        """Each layer's weights, with its name."""
        for name, layer in self._layers:
            for weight in layer.parameters():
                yield name, weight

    def _begins(self, name: int) -> Callable[..., None]:
        def begin(*_: Any) -> None:
            # A layer that is computed again belongs to the backward pass.
            if torch._C._current_graph_task_id() == -1:
                self.tally.layer = name
                # Without gradients nothing of a layer stays.
                self.ledger.layer = name if torch.is_grad_enabled() else None

        return begin

    def _ends(self, *_: Any) -> None:
        if torch._C._current_graph_task_id() == -1:
            self.tally.layer = self.ledger.layer = None

    def _marks_forward(self, part: str) -> Callable[..., None]:
        def mark(*_: Any) -> None:
            if torch._C._current_graph_task_id() == -1:
                self.ledger.enter(part)

        return mark

    def _marks_backward(self, name: int) -> Callable[..., None]:
        def on_the_way_back(_: torch.Tensor) -> None:
            self.ledger.enter(f"backward {name}")
            self.tally.layer = name

        def mark(module: torch.nn.Module, args: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if states.requires_grad and torch._C._current_graph_task_id() == -1:
                states.register_hook(on_the_way_back)

        return mark

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The moments of the optimiser are there before a step but the first."""
        optimizer = self.trainer.optimizer
        make_moments(optimizer)
        self._mark_clipping(self.trainer.accelerator)
        of_layer = {weight: name for name, weight in self.weights()}
        for name, layer in self._layers:
            self.ledger.own([*layer.parameters(), *layer.buffers()], name)
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            weight.register_post_accumulate_grad_hook(
                lambda weight: self.ledger.assign([weight.grad], "gradients", layer=of_layer.get(weight))
            )
            kept = [value for value in optimizer.state.get(weight, {}).values() if isinstance(value, torch.Tensor)]
            self.ledger.assign([value for value in kept if value.dim()], "optimizer", layer=of_layer.get(weight))

    def _mark_clipping(self, accelerator: Any) -> None:
        clip = accelerator.clip_grad_norm_

        def clip_norm(*args: Any, **kwargs: Any) -> Any:
            # It is done to all weights, once a step, as the update is.
            self.enter("optimizer")
            return clip(*args, **kwargs)

        accelerator.clip_grad_norm_ = clip_norm

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("batch")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("optimizer")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.enter("after")
