"""Imports what estimates are made with, in a process that does nothing else: without what only runs need."""

import gc
from functools import cache


@cache
def import_libraries() -> None:
    """Import what takes seconds. What is made by that is never garbage, so it is not looked for, then or later."""
    gc.disable()
    import torch
    import transformers

    # Nothing is compiled here and nobody is reported to; else bitsandbytes would have the compiler imported, and TRL
    # Weights & Biases, which takes more than a second.
    torch.compiler.set_default_backend("eager")
    transformers.is_wandb_available = lambda: False
    from pipeline.estimate import estimate_run as estimate_run

    gc.freeze()
    gc.enable()
