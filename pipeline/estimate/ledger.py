"""Ledger: which bytes of tensors are alive, what for and of which layer, and how it stood at each part's peak.

A storage is counted from its first tensor to its last. The same ledger watches a real run and a hollow one, so that the
one can be held against the other.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.estimates import Purpose


@dataclass
class _Storage:
    size: int
    purpose: Purpose
    layer: int | None
    end: weakref.ref[torch.UntypedStorage]
    """Tells when it is gone."""


@dataclass(frozen=True)
class Peak:
    """The most bytes that were alive at once, what they were for, and those that are there because of one layer."""

    total: int
    by_purpose: Mapping[Purpose, int]
    by_layer: Mapping[int, Mapping[Purpose, int]] = field(default_factory=dict)


class Ledger:
    """Live bytes by purpose. `granule`: each storage takes a multiple of so many bytes, as allocators have it.

    `vocabularies` are the numbers of words whose tensors are logits: those with so many columns. `layer` is the layer
    whose own all new tensors are, until it is changed: each layer of its kind has as many of them.
    """

    def __init__(self, *, granule: int = 1, vocabularies: Iterable[int] = ()) -> None:
        self.granule = granule
        self.vocabularies = frozenset(vocabularies)
        self.live = 0
        self.layer: int | None = None
        self._held: Counter[tuple[Purpose, int | None]] = Counter()
        self._peaks: dict[str, Peak] = {}
        self._part = "before"
        self._highest = 0
        self._storages: dict[int, _Storage] = {}

    @property
    def peaks(self) -> dict[str, Peak]:
        """How it stood at the peak of each part, in the order of time."""
        self._look()
        return self._peaks

    def add(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage, if it is new, for what is going on at the moment."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = -(-storage.nbytes() // self.granule) * self.granule
        known = self._storages.get(key)
        if known is None:
            end = weakref.ref(storage, lambda _: self._forget(key))
            known = self._storages[key] = _Storage(0, self._purpose_of(tensor), self.layer, end)
        if size != known.size:
            self._change(known, size - known.size)
            known.size = size

    def assign(self, tensors: Iterable[torch.Tensor], purpose: Purpose, *, layer: int | None = None) -> None:
        """Say what tensors are for from now on, and of which layer they are."""
        for tensor in tensors:
            self.add(tensor)
            known = self._storages[tensor.untyped_storage()._cdata]
            self._move(known, purpose, known.layer if layer is None else layer)

    def own(self, tensors: Iterable[torch.Tensor], layer: int) -> None:
        """Say of which layer tensors are."""
        for tensor in tensors:
            self.add(tensor)
            known = self._storages[tensor.untyped_storage()._cdata]
            self._move(known, known.purpose, layer)

    def enter(self, part: str) -> None:
        """What follows belongs to this part of the step; one that comes again is the same part."""
        self._look()
        self._part = part
        known = self._peaks.get(part)
        self._highest = -1 if known is None else known.total

    def _purpose_of(self, tensor: torch.Tensor) -> Purpose:
        if tensor.dim() > 1 and tensor.shape[-1] in self.vocabularies:
            return "logits"
        # Layers that are computed again in the backward pass are computed with gradients on.
        in_backward = torch._C._current_graph_task_id() != -1
        return "workspace" if in_backward and not torch.is_grad_enabled() else "activations"

    def _move(self, known: _Storage, purpose: Purpose, layer: int | None) -> None:
        self._look()
        self._held[known.purpose, known.layer] -= known.size
        self._held[purpose, layer] += known.size
        known.purpose, known.layer = purpose, layer

    def _change(self, known: _Storage, size: int) -> None:
        if size < 0:
            # Only before something goes can there have been a peak.
            self._look()
        self.live += size
        self._held[known.purpose, known.layer] += size

    def _look(self) -> None:
        if self.live <= self._highest:
            return
        self._highest = self.live
        by_purpose: Counter[Purpose] = Counter()
        by_layer: dict[int, dict[Purpose, int]] = {}
        for (purpose, layer), size in self._held.items():
            by_purpose[purpose] += size
            if layer is not None:
                by_layer.setdefault(layer, {})[purpose] = size
        self._peaks[self._part] = Peak(self.live, dict(by_purpose), by_layer)

    def _forget(self, key: int) -> None:
        gone = self._storages.pop(key)
        self._change(gone, -gone.size)


class _Watch(TorchDispatchMode):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            self.ledger.add(tensor)
        return result


@contextmanager
def watched(ledger: Ledger) -> Iterator[None]:
    """Count all tensors that are made in this thread and in its backward passes."""
    with _Watch(ledger):
        yield


def tensors_in(result: Any) -> list[torch.Tensor]:
    """The tensors of what an operation returned."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
