"""Clocks of steps: as many times as there were steps, each about as long as the step was."""

import time

import pytest
import torch

from pipeline.step_clocks import GpuClock, WallClock

SECONDS = 0.02


def work() -> None:
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        pass


def test_clock_times_steps_and_not_what_is_between_them() -> None:
    clock = WallClock()
    began = time.perf_counter()
    for _ in range(3):
        clock.begin()
        work()
        clock.end()
        work()
    elapsed = time.perf_counter() - began
    assert len(clock.seconds()) == 3
    assert min(clock.seconds()) >= SECONDS
    assert sum(clock.seconds()) <= elapsed - 3 * SECONDS


def test_clock_without_steps_has_no_times() -> None:
    assert list(WallClock().seconds()) == list(GpuClock().seconds()) == []


@pytest.mark.gpu
def test_gpu_clock_times_the_work_of_the_gpu() -> None:
    clock = GpuClock()
    values = torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        clock.begin()
        for _ in range(5):
            values @ values
        clock.end()
    assert len(clock.seconds()) == 20
    assert sum(clock.seconds()) == pytest.approx(time.perf_counter() - began, rel=0.2)
