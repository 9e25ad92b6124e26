"""What an hour costs is known from the owner, or from the hardware of a Space."""

from dataclasses import dataclass

import pytest

from pipeline.errors import InvalidConfig
from pipeline.prices import cost, flavor_price, hourly_price, read_flavor, read_price


@dataclass(frozen=True)
class Machine:
    price_per_hour: float | None = None
    space_flavor: str | None = None


def test_price_of_the_owner_goes_before_that_of_the_list() -> None:
    price = hourly_price(Machine(price_per_hour=2.25, space_flavor="l4x1"))
    assert price is not None
    assert (price.dollars, price.source) == (2.25, "set with LAPIDARY_PRICE_PER_HOUR")
    assert hourly_price(Machine(price_per_hour=0.0)) == (0.0, "set with LAPIDARY_PRICE_PER_HOUR")


def test_price_of_a_space_is_that_of_its_hardware_and_says_of_when() -> None:
    price = hourly_price(Machine(space_flavor="l4x1"))
    assert price is not None
    assert price == (0.8, "1x Nvidia L4 on Hugging Face's price list of 2026-07-21")
    assert price == flavor_price("l4x1")
    assert cost(5400, price) == pytest.approx(1.2)


def test_price_that_nobody_knows_is_none() -> None:
    assert hourly_price(Machine()) is None
    assert flavor_price("h100x8") is None


@pytest.mark.parametrize(("written", "price"), [("0.80", 0.8), ("2", 2.0), ("0", 0.0)])
def test_price_is_read_from_the_environment(written: str, price: float) -> None:
    assert read_price({"LAPIDARY_PRICE_PER_HOUR": written}) == price
    assert read_price({}) is None


@pytest.mark.parametrize("written", ["", "$2", "two", "-1", "nan", "inf"])
def test_price_that_is_none_is_a_sentence(written: str) -> None:
    with pytest.raises(InvalidConfig, match="is not a price. Give US dollars an hour, such as 0.80."):
        read_price({"LAPIDARY_PRICE_PER_HOUR": written})


@pytest.mark.parametrize(
    ("accelerator", "cores", "flavor"),
    [
        ("t4-medium", "8", "t4-medium"),
        ("none", "2", "cpu-basic"),
        ("none", "8", "cpu-upgrade"),
        ("none", "64", None),
        ("zero-a10g", "8", None),
    ],
)
def test_hardware_of_a_space_is_known_by_its_variables(accelerator: str, cores: str, flavor: str | None) -> None:
    machine = {"ACCELERATOR": accelerator, "CPU_CORES": cores}
    assert read_flavor({"SPACE_ID": "gems/studio", **machine}) == flavor
    assert read_flavor(machine) is None, "no Space"


def test_hardware_of_a_space_without_these_variables_is_not_known() -> None:
    assert read_flavor({"SPACE_ID": "gems/studio"}) is None
