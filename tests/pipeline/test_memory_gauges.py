"""Gauges of memory: what a process really took, and what is told where the system tells less."""

import mmap
from pathlib import Path

import pytest
import torch

from pipeline.memory_gauges import GpuGauge, ProcessGauge, own_share

MB = 10**6


def take(size: int) -> None:
    """Hold so many bytes, and let them go: from the system itself, as the C library may keep what is freed."""
    with mmap.mmap(-1, size) as held:
        for place in range(0, size, mmap.PAGESIZE):
            held[place] = 1


def test_peak_of_the_process_is_above_what_it_held_before() -> None:
    gauge = ProcessGauge()
    gauge.forget_peak()
    take(200 * MB)
    memory = gauge.read()
    assert memory.since == "training"
    # Linux counts pages by processor and adds them up now and then.
    assert 190 * MB < memory.peak < 260 * MB


def test_peak_before_training_is_forgotten() -> None:
    gauge = ProcessGauge()
    take(300 * MB)
    gauge.forget_peak()
    take(100 * MB)
    assert gauge.read().peak < 200 * MB


def test_system_that_cannot_forget_says_so(tmp_path: Path) -> None:
    gauge = ProcessGauge(tmp_path / "none")
    gauge.forget_peak()
    take(200 * MB)
    memory = gauge.read()
    assert memory.since == "start"
    assert memory.peak >= 150 * MB


@pytest.mark.parametrize(
    ("users", "share"),
    [
        ({7: 500, 8: 900}, 500),
        ({7: None, 8: 900}, None),
        # The numbers of a container are others than the driver's.
        ({3: 500}, 500),
        ({3: 500, 8: 900}, None),
        ({}, None),
    ],
)
def test_own_share_of_a_gpu_is_told_only_where_it_is_sure(users: dict[int, int | None], share: int | None) -> None:
    assert own_share(users, pid=7) == share


@pytest.mark.gpu
def test_peak_of_the_gpu_is_that_of_the_loop() -> None:
    device = torch.device("cuda", 0)
    torch.empty(800 * MB, dtype=torch.uint8, device=device)
    gauge = GpuGauge(device)
    gauge.forget_peak()
    torch.empty(200 * MB, dtype=torch.uint8, device=device)
    memory = gauge.read()
    assert 200 * MB <= memory.allocated <= memory.reserved < 500 * MB
    assert memory.outside is None or 100 * MB < memory.outside < 2000 * MB
