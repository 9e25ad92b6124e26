"""Gauges of the memory that training takes: of this process, or of the GPU that it uses."""

import os
import resource
from pathlib import Path

import psutil
import pynvml
import torch

from pipeline.callbacks import MAXRSS_UNIT_BYTES
from pipeline.measurements import GpuMemory, ProcessMemory

# Resets a process's highest resident set (Linux, proc_pid_clear_refs(5)).
_RESET_PEAK = "5"


class ProcessGauge:
    """The peak of this process's resident memory, above what it held when the gauge was made.

    `proc` is where Linux tells about the process. Elsewhere the peak cannot be forgotten: it is that of the process.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._before: int = psutil.Process().memory_info().rss
        self._forgotten = False

    def forget_peak(self) -> None:
        """Count from now on, where the system allows that."""
        try:
            (self._proc / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        except OSError:
            self._forgotten = False
        else:
            self._forgotten = True

    def read(self) -> ProcessMemory:
        """The peak so far."""
        peak = max(0, self._peak() - self._before)
        return ProcessMemory(peak=peak, since="training" if self._forgotten else "start")

    def _peak(self) -> int:
        try:
            lines = (self._proc / "status").read_text(encoding="ascii").splitlines()
            return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        except (OSError, StopIteration):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT_BYTES


class GpuGauge:
    """The peak of a GPU's memory that this process takes: in PyTorch's allocator, and outside it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def forget_peak(self) -> None:
        """Count from now on, without what loading has left in the allocator."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    def read(self) -> GpuMemory:
        """The peak so far. What is outside the allocator is read now: it hardly changes while a run trains."""
        held = _process_bytes(f"GPU-{torch.cuda.get_device_properties(self._device).uuid}")
        return GpuMemory(
            allocated=torch.cuda.max_memory_allocated(self._device),
            reserved=torch.cuda.max_memory_reserved(self._device),
            outside=None if held is None else max(0, held - torch.cuda.memory_reserved(self._device)),
        )


def _process_bytes(uuid: str) -> int | None:
    """Bytes that this process holds of the GPU; None where the driver does not tell."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return own_share({process.pid: process.usedGpuMemory for process in found}, pid=os.getpid())


def own_share(bytes_by_pid: dict[int, int | None], *, pid: int) -> int | None:
    """Bytes of the process `pid` among the users of a GPU, of which it is one; None where that is not known."""
    if pid in bytes_by_pid:
        return bytes_by_pid[pid]
    # In a container the driver may know the process by another number.
    return next(iter(bytes_by_pid.values())) if len(bytes_by_pid) == 1 else None
