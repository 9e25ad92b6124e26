"""The memory of each of several GPUs, by arithmetic on that of one: data parallel, and fully sharded."""

from typing import Literal

from pipeline.estimates import MemoryEstimate, Purpose

Strategy = Literal["ddp", "fsdp"]
# What is divided among the GPUs (Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277, section 3).
_DIVIDED: tuple[Purpose, ...] = ("weights", "adapter", "gradients", "optimizer")
# The layer that is computed and the next one, which is fetched meanwhile, are whole.
_WHOLE_LAYERS = 2


def shared_among(memory: MemoryEstimate, *, gpus: int, strategy: Strategy, layers: int) -> MemoryEstimate:
    """What each GPU takes when `gpus` of them train together, each on a batch of its own.

    With ddp every GPU holds all, and buckets of the gradients in which they are averaged (Li et al. 2020,
    arXiv:2006.15704, section 3.2.3); with fsdp a share of weights, gradients and moments, and some layers whole.

    Raises:
        ValueError: `gpus` or `layers` is less than one.
    """
    if gpus < 1 or layers < 1:
        raise ValueError("there is at least one GPU, and one layer")
    if gpus == 1:
        return memory
    held = dict(memory.by_purpose)
    if strategy == "ddp":
        # Where the peak comes before the gradients, there are as many of them as trained weights in fp32: half of the
        # moments of AdamW.
        buckets = max(held.get("gradients", 0), held.get("optimizer", 0) // 2)
        held["workspace"] = held.get("workspace", 0) + buckets
    else:
        weights = held.get("weights", 0)
        held.update({purpose: -(-held[purpose] // gpus) for purpose in _DIVIDED if purpose in held})
        held["workspace"] = held.get("workspace", 0) + min(weights, weights * _WHOLE_LAYERS // layers)
    tensors = sum(held.values())
    allocator = round(memory.allocator * tensors / max(1, memory.tensors))
    total = tensors + allocator + memory.context
    return memory.model_copy(
        update={
            "by_purpose": held,
            "allocator": allocator,
            "correction": 0,
            "low": round(total * memory.low / memory.total),
            "high": round(total * memory.high / memory.total),
        }
    )
