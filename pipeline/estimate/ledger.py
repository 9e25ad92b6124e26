"""Ledger: which bytes of tensors are alive, by what they are for, and how it stood at the peak of each part of a step.

A storage is counted from its first tensor to its last. The same ledger watches a real run and a hollow one, so that the
one can be held against the other.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.estimates import Purpose


@dataclass
class _Storage:
    size: int
    purpose: Purpose


@dataclass(frozen=True)
class Peak:
    """The most bytes that were alive at once, and what they were for."""

    total: int
    by_purpose: Mapping[Purpose, int]


class Ledger:
    """Live bytes by purpose. `granule`: each storage takes a multiple of so many bytes, as allocators have it.

    `vocabularies` are the numbers of words whose tensors are logits: those with so many columns.
    """

    def __init__(self, *, granule: int = 1, vocabularies: Iterable[int] = ()) -> None:
        self.granule = granule
        self.vocabularies = frozenset(vocabularies)
        self.live = 0
        self.live_by_purpose: Counter[Purpose] = Counter()
        self.peaks: dict[str, Peak] = {}
        self._part = "before"
        self._highest = 0
        self._storages: dict[int, _Storage] = {}

    def add(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage, if it is new, for what is going on at the moment."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = self._taken_by(storage)
        known = self._storages.get(key)
        if known is None:
            known = self._storages[key] = _Storage(0, self._purpose_of(tensor))
            weakref.finalize(storage, self._forget, key).atexit = False
        if size != known.size:
            self._change(known.purpose, size - known.size)
            known.size = size

    def assign(self, tensors: Iterable[torch.Tensor], purpose: Purpose) -> None:
        """Say what tensors are for, from now on."""
        for tensor in tensors:
            self.add(tensor)
            known = self._storages[tensor.untyped_storage()._cdata]
            self.live_by_purpose[known.purpose] -= known.size
            self.live_by_purpose[purpose] += known.size
            known.purpose = purpose

    def enter(self, part: str) -> None:
        """What follows belongs to this part of the step; one that comes again is the same part."""
        self._part = part
        known = self.peaks.get(part)
        self._highest = -1 if known is None else known.total
        self._look()

    def _taken_by(self, storage: torch.UntypedStorage) -> int:
        return -(-storage.nbytes() // self.granule) * self.granule

    def _purpose_of(self, tensor: torch.Tensor) -> Purpose:
        if tensor.dim() > 1 and tensor.shape[-1] in self.vocabularies:
            return "logits"
        # Layers that are computed again in the backward pass are computed with gradients on.
        in_backward = torch._C._current_graph_task_id() != -1
        return "workspace" if in_backward and not torch.is_grad_enabled() else "activations"

    def _change(self, purpose: Purpose, size: int) -> None:
        self.live += size
        self.live_by_purpose[purpose] += size
        self._look()

    def _look(self) -> None:
        if self.live > self._highest:
            self._highest = self.live
            self.peaks[self._part] = Peak(self.live, dict(self.live_by_purpose))

    def _forget(self, key: int) -> None:
        gone = self._storages.pop(key)
        self._change(gone.purpose, -gone.size)


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
