"""What this machine has: GPUs with their free memory, without loading torch."""

from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU; memory in bytes."""

    index: int
    name: str
    memory_total: int
    memory_free: int


def list_gpus() -> list[Gpu]:
    """The GPUs of this machine; empty where the NVIDIA driver is missing."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(index, str(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free))
