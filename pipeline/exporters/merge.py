"""Merges an adapter into the files of its base model, a few rows of one weight at a time."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipeline.errors import ModelUnavailable
from pipeline.exporters.adapter_weights import AdapterWeights, NotStreamable, read_adapter
from pipeline.exporters.base_weights import INDEX_FILE, SINGLE_FILE, BaseWeights, StoredWeight, read_base
from pipeline.exporters.model_files import write_model_files
from pipeline.exporters.tensor_file import TensorFile, TensorLayout

Progress = Callable[[int, int], None]
"""Takes the bytes that are written, and how many there will be."""

# So many rows at a time that they take about as much in fp32: room in memory, and large enough for the processor.
_PIECE_BYTES = 16 * 1024 * 1024


def merge_adapter(
    base: Path,
    adapter: Path,
    folder: Path,
    *,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write the model in `base` with the adapter in its weights to `folder`, in as many files as the base has.

    Sums are made in fp32 and rounded once, to `dtype`. Memory: two pieces of a weight, besides the adapter.

    Raises:
        ModelUnavailable: one of the two cannot be read, or they do not belong together.
        TrainingDiverged: the adapter holds values that are no numbers.
        NotStreamable: it has to be merged in memory; the text says why.
    """
    changes = read_adapter(adapter)
    wanted = changes.changes.keys() | changes.replaced.keys()
    weights = read_base(base, trust_remote_code=trust_remote_code, wanted=wanted)
    changes, head = _as_stored(changes, weights)
    _check_shapes(changes, weights)
    merger = _Merger(changes, dtype, progress)
    merger.write(weights, folder, head=head)
    write_model_files(base, adapter, folder, dtype=dtype, untied=head is not None, trust_remote_code=trust_remote_code)


class _Merger:
    def __init__(self, changes: AdapterWeights, dtype: torch.dtype, progress: Progress) -> None:
        self.changes = changes
        self.dtype = dtype
        self.progress = progress
        self._done = self._total = 0

    def write(self, base: BaseWeights, folder: Path, *, head: StoredWeight | None) -> None:
        files: dict[Path, list[StoredWeight]] = {}
        for weight in base.weights:
            files.setdefault(weight.file, []).append(weight)
        if head is not None:
            files[head.file].append(head)
        self._total = sum(self._layout(item).size_bytes for items in files.values() for item in items)
        for source, weights in files.items():
            self._write_file(source, weights, folder / source.name)
        if len(files) > 1 or SINGLE_FILE not in {file.name for file in files}:
            names = {item.name: source.name for source, items in files.items() for item in items}
            index = {"metadata": {"total_size": self._total}, "weight_map": dict(sorted(names.items()))}
            (folder / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")

    def _write_file(self, source: Path, weights: list[StoredWeight], target: Path) -> None:
        layouts = {weight.name: self._layout(weight) for weight in weights}
        with ExitStack() as stack:
            opened = stack.enter_context(safe_open(source, framework="pt"))
            out = stack.enter_context(TensorFile(target, layouts))
            for weight in weights:
                for piece in self._pieces(opened, weight):
                    out.write(piece)
                    self._done += piece.numel() * piece.element_size()
                    self.progress(self._done, self._total)

    def _layout(self, weight: StoredWeight) -> TensorLayout:
        is_number = weight.layout.dtype.is_floating_point
        return weight.layout._replace(dtype=self.dtype) if is_number else weight.layout

    def _pieces(self, opened: Any, weight: StoredWeight) -> Iterator[torch.Tensor]:
        dtype = self._layout(weight).dtype
        whole = self.changes.replaced.get(weight.parameter)
        if whole is None and not weight.layout.shape:
            yield opened.get_tensor(weight.name).to(dtype)
            return
        values = opened.get_slice(weight.name) if whole is None else whole
        change = self.changes.changes.get(weight.parameter)
        count = max(1, weight.layout.shape[0])
        rows = max(1, _PIECE_BYTES // max(1, torch.Size(weight.layout.shape).numel() // count * 4))
        for start in range(0, weight.layout.shape[0], rows):
            piece = values[start : start + rows]
            yield (piece if change is None else change.applied(piece, start)).to(dtype)


def _as_stored(adapter: AdapterWeights, base: BaseWeights) -> tuple[AdapterWeights, StoredWeight | None]:
    """The changes of the weights as they lie in the files; and the head, where it is no longer the embedding."""
    changes = {name: replace(item, transposed=name in base.transposed) for name, item in adapter.changes.items()}
    if any(change.transposed and change.magnitude is not None for change in changes.values()):
        raise NotStreamable("it is DoRA on transposed layers")
    stored = {weight.parameter: weight for weight in base.weights}
    replaced, head = dict(adapter.replaced), None
    for name, source in base.tied.items():
        if name in changes or source in changes:
            raise NotStreamable(f"{name} and {source} are one weight")
        ours, other = replaced.get(name), replaced.get(source)
        if ours is None:
            # Where the files have the weight twice, both are replaced.
            replaced.update({} if other is None else {name: other})
        elif (other is None or not torch.equal(ours, other)) and name not in stored:
            place = stored.get(source)
            if place is None or place.name != source:
                raise NotStreamable(f"{name} is no longer the same as {source}")
            head = replace(place, name=name, parameter=name)
    return AdapterWeights(changes, replaced), head


def _check_shapes(changes: AdapterWeights, base: BaseWeights) -> None:
    shapes: dict[str, tuple[int, ...]] = {weight.parameter: weight.layout.shape for weight in base.weights}
    told: Mapping[str, tuple[int, ...]] = {
        **{name: (len(change.up), change.down.shape[1]) for name, change in changes.changes.items()},
        **{name: tuple(weight.shape) for name, weight in changes.replaced.items()},
    }
    for name, shape in told.items():
        change = changes.changes.get(name)
        expected = shape[::-1] if change is not None and change.transposed else shape
        if name in shapes and shapes[name] != expected:
            raise ModelUnavailable(
                f"The adapter does not belong to this base model: {name} is {shapes[name]} there, and the adapter is "
                f"for {expected}. Name the model that it was trained on."
            )
