"""Keeps native code that nobody asked for out of the process."""

import logging
import sys


def refuse_downloaded_kernels() -> None:
    """Make the package `kernels` look as if it were not installed, for as long as this process runs.

    bitsandbytes has it download and run compiled code from the Hub as soon as it is imported, which is as soon as PEFT
    is. Call before either is imported.
    """
    sys.modules["kernels"] = None  # type: ignore[assignment]
    # It would advise to install the package.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
