"""What an operation costs: the multiplications and the bytes that it reads and writes, whatever machine does it."""

from collections import Counter
from typing import Any, Literal, NamedTuple

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pipeline.estimate.ledger import tensors_in

OperationKind = Literal["product", "attention", "function", "movement"]
"""Matrix products, attention, functions such as exp and tanh that are computed rather than copied, and the rest."""

_ATTENTION = "scaled_dot_product"
_FUNCTIONS = frozenset(
    ("exp", "log", "log1p", "tanh", "sigmoid", "gelu", "silu", "softmax", "log_softmax", "pow", "sin", "cos", "erf")
)
_INPLACE_OR_BACKWARD = ("_backward_data", "_backward", "_")


class Operation(NamedTuple):
    """One operation. `flops` are multiplications and additions, `moved` bytes read and written."""

    kind: OperationKind
    dtype: str
    flops: int
    moved: int


class Tally:
    """How often each operation of a step is done, by the part of the step. A listener of `hollow`.

    `layer` is the layer for which all is done until it is changed.
    """

    def __init__(self) -> None:
        self.part = "before"
        self.layer: int | None = None
        self.counts: dict[str, Counter[Operation]] = {}
        self.by_layer: dict[int, Counter[Operation]] = {}

    def enter(self, part: str) -> None:
        """What follows belongs to this part of the step, and to no layer."""
        self.part, self.layer = part, None

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        made = tensors_in(result) or _written(func, args)
        if func.is_view or not made:
            return
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        moved = sum(_bytes(tensor) for tensor in read) + sum(_bytes(tensor) for tensor in made)
        count = flop_registry.get(func._overloadpacket)
        flops = 0 if count is None else int(count(*args, **kwargs, out_val=result))
        kind = _kind(func._overloadpacket.__name__, flops)
        operation = Operation(kind, str(made[0].dtype).removeprefix("torch."), flops, moved)
        self.counts.setdefault(self.part, Counter())[operation] += 1
        if self.layer is not None:
            self.by_layer.setdefault(self.layer, Counter())[operation] += 1


def _written(func: Any, args: tuple[Any, ...]) -> list[torch.Tensor]:
    """What an operation that returns nothing changes, as an optimiser's on lists of weights."""
    places = zip(func._schema.arguments, args, strict=False)
    return tensors_in([value for place, value in places if place.alias_info is not None and place.alias_info.is_write])


def _kind(name: str, flops: int) -> OperationKind:
    if flops:
        return "attention" if _ATTENTION in name else "product"
    bare = name.lstrip("_")
    for ending in _INPLACE_OR_BACKWARD:
        bare = bare.removesuffix(ending)
    return "function" if bare in _FUNCTIONS else "movement"


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
