"""What GPUs and Hugging Face's Spaces have, by the names that drivers and people use for them."""

import difflib
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import InvalidConfig, Problem
from pipeline.estimate.rates import Rates, published_rates

GIB = 1 << 30
# NVIDIA's CUDA programming guide, arithmetic instructions: no bf16 before Ampere.
FIRST_WITH_BF16 = (8, 0)
# CUDA gives a process up to 3 % less than the driver reports: 14.56 of 15 GiB on a T4, 15.57 of 16 on an RTX 4060 Ti.
_DRIVERS_OWN = 0.03


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GpuSpec(_Entry):
    """One type of GPU, from published figures. `assets/hardware.yaml` says where each is known from."""

    name: str
    aliases: tuple[str, ...] = Field(min_length=1)
    compute_capability: tuple[int, int]
    memory_gb: int = Field(gt=0, description="As printed on the box.")
    driver_mib: int | None = Field(None, gt=0, description="Units of 2**20 bytes that the driver reports.")
    cuda_gib: float | None = Field(None, gt=0, description="Units of 2**30 bytes that a process can have.")
    tflops_16bit: float = Field(gt=0, description="Dense matrix products in bf16 or fp16, 10^12 operations a second.")
    tflops_fp32: float = Field(gt=0, description="The same in fp32.")
    bandwidth_gb_s: float = Field(gt=0, description="10^9 bytes a second.")
    checked: Literal["read", "derived", "unchecked"] = Field(description="How `tflops_16bit` is known.")
    source: str

    @property
    def short_name(self) -> str:
        """What people write."""
        return self.aliases[0]

    @property
    def memory_total(self) -> int:
        """Bytes that a process can have of it, which is less than what is printed on the box."""
        if self.cuda_gib is not None:
            return int(self.cuda_gib * GIB)
        reported = self.memory_gb << 30 if self.driver_mib is None else self.driver_mib << 20
        return int(reported * (1 - _DRIVERS_OWN))

    @property
    def has_bf16(self) -> bool:
        """Whether it computes in bf16."""
        return self.compute_capability >= FIRST_WITH_BF16


class SpaceHardware(_Entry):
    """A machine that a Space can be rented on."""

    flavor: str
    label: str = Field(description="Its name on the Hub's pages.")
    gpu: str | None = Field(None, description="Name of a `GpuSpec`.")
    gpus: int = Field(0, ge=0)
    vcpus: int = Field(gt=0)
    memory_gb: int = Field(gt=0)
    disk_gb: int = Field(gt=0)
    dollars_per_hour: float = Field(ge=0)
    sleeps_after_hours: int | None = Field(
        None, gt=0, description="Hours without a visit. None: it never sleeps, unless its owner has set a time."
    )


class PriceList(_Entry):
    """All hardware of Spaces, as it was on a day."""

    dated: date
    source: str
    hardware: tuple[SpaceHardware, ...]


class _HardwareFile(_Entry):
    gpus: tuple[GpuSpec, ...]
    spaces: PriceList


def known_gpus() -> tuple[GpuSpec, ...]:
    """Every type of GPU that is known here."""
    return _hardware_file().gpus


def find_gpu(name: str) -> GpuSpec | None:
    """The GPU that a driver or a person calls `name`; None where it is not known here."""
    return _by_plain_name().get(_plain(name))


def gpu_spec(name: str, *, field: str = "resources.gpu_type") -> GpuSpec:
    """The GPU that `name` stands for, such as `a100-80gb`, `RTX 4090` or `NVIDIA L4`.

    Raises:
        InvalidConfig: it is not known here; `field` is to blame.
    """
    found = find_gpu(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(_plain(name), _by_plain_name(), n=1, cutoff=0.6)
    cure = "Known are for example t4, l4, a100-80gb and rtx-4090; docs/hardware.md lists all."
    if near:
        cure = f"Did you mean {_by_plain_name()[near[0]].short_name}?"
    raise InvalidConfig([Problem(field, f"{name!r} is no GPU that is known here. {cure}")])


def rates_of(spec: GpuSpec) -> Rates:
    """How long the GPU takes for an operation, from its published figures."""
    # First what stands in for every other format: GPUs without bf16 compute it in fp32.
    tflops = {"float32": spec.tflops_fp32, "float16": spec.tflops_16bit}
    if spec.has_bf16:
        tflops["bfloat16"] = spec.tflops_16bit
    return published_rates(spec.name, tflops=tflops, bandwidth=spec.bandwidth_gb_s)


def price_list() -> PriceList:
    """What Spaces cost, with the day and the address of the list."""
    return _hardware_file().spaces


def space_hardware() -> tuple[SpaceHardware, ...]:
    """Every machine that a Space can be rented on, in the order of the list."""
    return price_list().hardware


def find_flavor(flavor: str) -> SpaceHardware | None:
    """The machine that Spaces call `flavor`; None where it is not in the list."""
    return next((machine for machine in space_hardware() if machine.flavor == flavor), None)


@cache
def _hardware_file() -> _HardwareFile:
    path = Path(__file__).parents[1] / "assets" / "hardware.yaml"
    return _HardwareFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@cache
def _by_plain_name() -> dict[str, GpuSpec]:
    return {_plain(name): spec for spec in known_gpus() for name in (spec.name, *spec.aliases)}


def _plain(name: str) -> str:
    words = re.sub(r"[\s_()-]+", "-", name.strip().lower()).strip("-")
    return re.sub(r"^(nvidia-)?(tesla-)?(geforce-)?(rtx-)?", "", re.sub(r"(\d)-gb\b", r"\1gb", words))
