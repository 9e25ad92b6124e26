"""The devices that a run may be given, as an estimate wants to know them."""

from collections.abc import Sequence

from pipeline.checks.machine import Gpu
from pipeline.estimates import Device
from pipeline.hardware_specs import find_gpu, gpu_spec, rates_of

THIS_COMPUTER = "this computer"


def devices_for(gpus: Sequence[Gpu] | None, free_memory: int | None, cpu_has_bf16: bool | None) -> list[Device]:
    """Each kind of GPU once, with the most free memory of its kind; without a GPU the processor. Empty where `gpus` is
    None: an accelerator is here of which nobody knows.

    Args:
        free_memory: bytes of the computer's memory, for the processor
    """
    if gpus is None:
        return []
    if not gpus:
        return [Device(name=THIS_COMPUTER, on_gpu=False, free=free_memory, has_bf16=bool(cpu_has_bf16))]
    roomiest = {gpu.name: gpu for gpu in sorted(gpus, key=lambda gpu: gpu.memory_free)}
    return [_here(gpu) for gpu in roomiest.values()]


def device_of_type(name: str) -> Device:
    """A GPU that need not be here, with all of its memory free. Raises InvalidConfig where nobody knows it."""
    spec = gpu_spec(name)
    return Device(name=spec.name, on_gpu=True, free=spec.memory_total, has_bf16=spec.has_bf16, rates=rates_of(spec))


def _here(gpu: Gpu) -> Device:
    spec = find_gpu(gpu.name)
    rates = None if spec is None else rates_of(spec)
    return Device(name=gpu.name, on_gpu=True, free=gpu.memory_free, has_bf16=gpu.has_bf16, rates=rates)
