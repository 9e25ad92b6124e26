"""What GPUs have, by the names that people use for them: memory, and whether they compute in bf16."""

import difflib
import re
from dataclasses import dataclass

from pipeline.errors import InvalidConfig, Problem

GIB = 1 << 30


@dataclass(frozen=True)
class Accelerator:
    """One GPU as the suggestions see it; memory in bytes."""

    name: str
    memory_bytes: int
    has_bf16: bool

    @property
    def memory_gb(self) -> int:
        """Memory as it is printed on the box."""
        return round(self.memory_bytes / GIB)


# Memory in GiB from NVIDIA's data sheets; of a type with several sizes, the smallest goes by the bare name.
_MEMORY_GIB = {
    "t4": 16,
    "p100": 16,
    "v100": 16,
    "v100-32gb": 32,
    "rtx-2080-ti": 11,
    "rtx-3060": 12,
    "rtx-3090": 24,
    "rtx-4060-ti-16gb": 16,
    "rtx-4070": 12,
    "rtx-4080": 16,
    "rtx-4090": 24,
    "rtx-5090": 32,
    "a2": 16,
    "a10": 24,
    "a10g": 24,
    "a16": 16,
    "a30": 24,
    "a40": 48,
    "a6000": 48,
    "l4": 24,
    "l40": 48,
    "l40s": 48,
    "a100": 40,
    "a100-80gb": 80,
    "h100": 80,
    "h200": 141,
    "b200": 180,
}
# Compute capability below 8.0: tensor cores without bf16 (NVIDIA's CUDA programming guide, arithmetic throughput).
_OLDER = re.compile(r"\b(t4|p4|p40|p100|v100|titan|gtx|quadro|rtx-?20\d\d)\b")


def gpu_type(name: str) -> Accelerator:
    """The GPU that `name` stands for, such as `a100-80gb`, `RTX 4090` or `NVIDIA T4`.

    Raises:
        InvalidConfig: it is not in the list.
    """
    known = _plain(name)
    if known not in _MEMORY_GIB:
        near = difflib.get_close_matches(known, _MEMORY_GIB, n=1, cutoff=0.6)
        cure = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(_MEMORY_GIB)}."
        raise InvalidConfig([Problem("resources.gpu_type", f"{name!r} is no GPU that is known here. {cure}")])
    return Accelerator(known.upper(), _MEMORY_GIB[known] * GIB, has_bf16(known))


def has_bf16(name: str) -> bool:
    """Whether the GPU that a driver or a person calls `name` computes in bf16: all since 2020 do."""
    return _OLDER.search(_plain(name)) is None


def _plain(name: str) -> str:
    words = re.sub(r"[\s_-]+", "-", name.strip().lower())
    return re.sub(r"^(nvidia-)?(tesla-)?(geforce-)?", "", words)
