"""What an hour of a machine costs: what its owner says, or on a Space what its hardware costs."""

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pipeline.errors import InvalidConfig, Problem
from pipeline.hardware_specs import SpaceHardware, find_flavor, price_list, space_hardware

PRICE_VARIABLE = "LAPIDARY_PRICE_PER_HOUR"


class HourlyPrice(NamedTuple):
    """US dollars an hour, and where that is known from, in words."""

    dollars: float
    source: str


class Machine(Protocol):
    """What is known of a machine."""

    @property
    def price_per_hour(self) -> float | None:
        """US dollars, as its owner set them."""

    @property
    def space_flavor(self) -> str | None:
        """What Spaces call it, where it is one of theirs."""


def hourly_price(machine: Machine) -> HourlyPrice | None:
    """The price of this machine; the owner's goes before the list's. None where neither is known."""
    if machine.price_per_hour is not None:
        return HourlyPrice(machine.price_per_hour, f"set with {PRICE_VARIABLE}")
    return None if machine.space_flavor is None else flavor_price(machine.space_flavor)


def flavor_price(flavor: str) -> HourlyPrice | None:
    """The list's price of a Space's hardware; None where it is not in the list."""
    hardware = find_flavor(flavor)
    if hardware is None:
        return None
    dated = price_list().dated
    return HourlyPrice(hardware.dollars_per_hour, f"{hardware.label} on Hugging Face's price list of {dated:%Y-%m-%d}")


def cost(seconds: float, price: HourlyPrice) -> float:
    """US dollars of so many seconds. A Space is charged for as long as it is up, whether a run is on or not."""
    return seconds / 3600 * price.dollars


def read_price(environment: Mapping[str, str]) -> float | None:
    """The price that the owner set; None where there is none.

    Raises:
        InvalidConfig: it is no price.
    """
    written = environment.get(PRICE_VARIABLE)
    if written is None:
        return None
    try:
        price = float(written)
    except ValueError:
        price = math.nan
    if not 0 <= price < math.inf:
        message = f"{written!r} is not a price. Give US dollars an hour, such as 0.80."
        raise InvalidConfig([Problem(PRICE_VARIABLE, message)])
    return price


def read_flavor(environment: Mapping[str, str]) -> str | None:
    """The hardware of this Space, by the variables that each Space has; None elsewhere, and where the list lacks it.

    ACCELERATOR is the flavor, or `none` where there is no GPU; CPU_CORES tells those apart
    (https://huggingface.co/docs/hub/spaces-overview, built-in environment variables).
    """
    if "SPACE_ID" not in environment:
        return None
    accelerator, cores = environment.get("ACCELERATOR"), environment.get("CPU_CORES")
    return next((hardware.flavor for hardware in space_hardware() if _is(hardware, accelerator, cores)), None)


def _is(hardware: SpaceHardware, accelerator: str | None, cores: str | None) -> bool:
    if hardware.gpu is None:
        return accelerator == "none" and cores == str(hardware.vcpus)
    return accelerator == hardware.flavor
