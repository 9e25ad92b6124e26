"""What is freed stays in the process, so that the next step need not take it from the system again."""

import subprocess
import sys

import pytest

# In a process of its own: it cannot be undone.
FREE_200_MB = """
import ctypes, sys
import psutil
from pipeline.host_memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = psutil.Process().memory_info().rss
blocks = [libc.malloc(4_000_000) for _ in range(50)]
for block in blocks:
    ctypes.memset(block, 1, 4_000_000)
for block in blocks:
    libc.free(block)
print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
@pytest.mark.parametrize("what", ["kept", "as installed"])
def test_freed_memory_is_kept(what: str) -> None:
    child = subprocess.run([sys.executable, "-c", FREE_200_MB, what], capture_output=True, text=True, check=True)
    assert (int(child.stdout) > 190_000_000) == (what == "kept")
