"""What an export works on: the base model, what was learned, and the whole model of both, made when it is asked for."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch

from pipeline.exporters.adapter_weights import NotStreamable
from pipeline.exporters.memory_merge import merge_in_memory
from pipeline.exporters.merge import merge_adapter
from pipeline.exporters.source import ExportSource


class Report(Protocol):
    """Takes what is done now, and the share of the step that is behind; without one it stays as it was."""

    def __call__(self, message: str, part: float | None = None, /) -> None: ...


@dataclass
class ExportOrder:
    """One result, for every format that is made of it. `work` is a folder that nobody reads afterwards."""

    name: str
    source: ExportSource
    base: Path
    work: Path
    quantizations: tuple[str, ...]

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the base model's weights."""
        return sum(file.stat().st_size for file in self.base.glob("*.safetensors"))

    def whole(self, report: Report) -> Path:
        """The folder of the model with the adapter in its weights, as a full fine-tune has it from the start."""
        if self.source.whole is not None:
            return self.source.whole
        folder = self.work / "merged"
        if not folder.exists():
            partial = self.work / "merged.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self.merge_into(partial, report)
            partial.rename(folder)
        return folder

    def use_whole(self, folder: Path) -> None:
        """Take the model in `folder` for the merged one, without a copy of its weights."""
        target = self.work / "merged"
        if self.source.whole is None and not target.exists():
            self.work.mkdir(exist_ok=True)
            target.symlink_to(folder.resolve())

    def merge_into(self, folder: Path, report: Report) -> None:
        """Write the merged model to `folder`: a few rows of a weight at a time, where the adapter allows it.

        Raises:
            ModelUnavailable: base and adapter do not belong together, or one cannot be read.
            TrainingDiverged: the adapter holds values that are no numbers.
        """
        if self.source.adapter is None:
            raise ValueError("a full fine-tune has nothing to merge")
        trust = self.source.base.trust_remote_code
        try:
            merge_adapter(
                self.base,
                self.source.adapter,
                folder,
                dtype=torch.bfloat16,
                trust_remote_code=trust,
                progress=in_percent(report, "Merging"),
            )
        except NotStreamable as reason:
            report(f"Merging in memory, because {reason}")
            merge_in_memory(self.base, self.source.adapter, folder, dtype=torch.bfloat16, trust_remote_code=trust)


def part_of(report: Report, start: float, end: float) -> Report:
    """A report whose work is the part of a step from `start` to `end`."""

    def scaled(message: str, part: float | None = None, /) -> None:
        report(message, None if part is None else start + (end - start) * part)

    return scaled


def in_percent(report: Report, what: str) -> Callable[[int, int], None]:
    """Takes bytes that are done and bytes in all, and tells each whole percent once."""
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        percent = done * 100 // max(1, total)
        if percent > told:
            told = percent
            report(f"{what}: {percent} %", percent / 100)

    return progress
