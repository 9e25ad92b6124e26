"""Memory of each of several GPUs."""

import pytest

from pipeline.estimate.sharding import shared_among
from pipeline.estimates import MemoryEstimate

MEMORY = MemoryEstimate(
    by_purpose={"weights": 8000, "gradients": 0, "optimizer": 4000, "activations": 1000},
    moment="while the loss is computed",
    allocator=650,
    context=500,
    low=13_000,
    high=15_500,
)


def test_data_parallel_gpus_hold_everything_and_the_buckets_of_gradients() -> None:
    each = shared_among(MEMORY, gpus=4, strategy="ddp", layers=8)
    # AdamW's two moments are twice the gradients.
    assert each.tensors == MEMORY.tensors + 2000
    assert each.context == MEMORY.context


def test_sharded_gpus_hold_a_share_and_two_whole_layers() -> None:
    each = shared_among(MEMORY, gpus=4, strategy="fsdp", layers=8)
    assert each.by_purpose["weights"] == 2000
    assert each.by_purpose["optimizer"] == 1000
    assert each.by_purpose["workspace"] == 2 * 8000 // 8
    assert each.by_purpose["activations"] == 1000
    assert each.low < each.total < each.high


def test_one_gpu_shares_with_nobody() -> None:
    assert shared_among(MEMORY, gpus=1, strategy="fsdp", layers=8) == MEMORY
    with pytest.raises(ValueError, match="at least one GPU"):
        shared_among(MEMORY, gpus=0, strategy="ddp", layers=8)
