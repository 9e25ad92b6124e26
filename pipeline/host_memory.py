"""Keeps memory that was freed in the process, on processors: a step then reuses what the step before it had."""

import ctypes
import sys

# Of mallopt(3): freed memory at the end of the heap goes back beyond the first, blocks beyond the second are always
# given back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
# The most that glibc takes before 2.35, on 64 bits (malloc/malloc.c, DEFAULT_MMAP_THRESHOLD_MAX).
_MOST_BEFORE = 32 * 1024 * 1024


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, until the process ends; without effect where it is not glibc.

    Memory from the system is filled with zeros, page by page, when it is first used. Steps that keep theirs are 2 to
    21 % shorter, and the process takes 1 to 3 % more (three settings of benchmarks/preflight_memory.py).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Without the second, the first would have larger blocks given back each time.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, _MOST_BEFORE)):
        mallopt(_TRIM_THRESHOLD, _MOST)
