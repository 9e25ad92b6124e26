"""What this machine has, found out without a library: free memory, bf16 instructions, an unknown accelerator, keys."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.hardware_specs import FIRST_WITH_BF16, GIB

# Names under which the Hub client takes a token from the environment.
_HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# AMD's driver; its GPUs are none of NVIDIA's, and PyTorch may still use them.
_AMD_DRIVER = Path("/dev/kfd")
_CPU_BF16 = ("avx512_bf16", "amx_tile")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU; memory in bytes. The compute capability is its generation as NVIDIA counts, such as (8, 0)."""

    index: int
    name: str
    memory_total: int
    memory_free: int
    compute_capability: tuple[int, int] | None = None

    @property
    def memory_gb(self) -> int:
        """Memory in units of 2**30 bytes, rounded."""
        return round(self.memory_total / GIB)

    @property
    def has_bf16(self) -> bool:
        """Whether it is known to compute in bf16."""
        return self.compute_capability is not None and self.compute_capability >= FIRST_WITH_BF16


def may_have_other_accelerator() -> bool:
    """Whether PyTorch may find an accelerator here that is no NVIDIA GPU, so that a list of those tells too little."""
    return sys.platform == "darwin" or _AMD_DRIVER.exists()


def available_memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes of memory that a new process can have: what the system has left, or less where a container sets a limit.
    None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in proc.read_text(encoding="ascii").splitlines())
        available = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        return max(0, min(available, limit - int((group / "memory.current").read_text(encoding="ascii"))))
    except (OSError, ValueError):
        # No limit is the word "max".
        return available


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether the CPU multiplies bf16 numbers itself; None where the system does not tell."""
    try:
        flags = next(line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return None
    return any(name in flags.split() for name in _CPU_BF16)


def keys_in(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the keys that a process with this environment has. A token that the Hub client keeps in its own file
    counts as HF_TOKEN."""
    names = {name for name, value in environment.items() if value.strip()}
    cache = Path(environment.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")))
    home = Path(environment.get("HF_HOME", str(cache / "huggingface")))
    file = Path(environment.get("HF_TOKEN_PATH", str(home / "token")))
    if file.is_file() or names.intersection(_HUB_TOKENS):
        names.add("HF_TOKEN")
    return frozenset(names)
