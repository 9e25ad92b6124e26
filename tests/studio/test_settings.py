"""Settings come from the environment; flags win over it."""

from pathlib import Path

import pytest

from pipeline.errors import InvalidConfig
from pipeline.prices import hourly_price
from studio.settings import Settings


def test_gradio_variables_name_address_and_port() -> None:
    settings = Settings.from_environment({"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8080"})
    assert (settings.host, settings.port, settings.is_local) == ("0.0.0.0", 8080, False)


def test_flags_win_over_the_environment() -> None:
    settings = Settings.from_environment({"GRADIO_SERVER_PORT": "8080"}, host="127.0.0.1", port=9000)
    assert (settings.host, settings.port, settings.is_local) == ("127.0.0.1", 9000, True)


def test_home_holds_the_database(tmp_path: Path) -> None:
    settings = Settings.from_environment({"LAPIDARY_HOME": str(tmp_path)})
    assert settings.database_url == f"sqlite:///{tmp_path / 'lapidary.db'}"


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", ""])
def test_port_that_is_none_is_a_sentence(port: str) -> None:
    with pytest.raises(InvalidConfig, match="is not a port. Give a number from 1 to 65535"):
        Settings.from_environment({"GRADIO_SERVER_PORT": port})


def test_home_on_a_space_is_lost_unless_storage_is_attached(tmp_path: Path) -> None:
    space = {"SPACE_ID": "gems/studio", "LAPIDARY_HOME": str(tmp_path)}
    assert Settings.from_environment(space).is_ephemeral
    # A file system of its own, as attached storage is.
    assert not Settings.from_environment({**space, "LAPIDARY_HOME": "/proc/self"}).is_ephemeral
    assert not Settings.from_environment({"LAPIDARY_HOME": str(tmp_path)}).is_ephemeral


def test_space_knows_its_price_and_when_it_sleeps_by_its_hardware() -> None:
    space = {"SPACE_ID": "gems/studio", "CPU_CORES": "2", "ACCELERATOR": "none"}
    free = Settings.from_environment(space)
    assert hourly_price(free) == (0.0, "CPU Basic on Hugging Face's price list of 2026-07-21")
    assert free.sleeps_after_hours == 48
    paid = Settings.from_environment({**space, "ACCELERATOR": "a10g-small", "CPU_CORES": "4"})
    assert paid.space_flavor == "a10g-small"
    assert paid.sleeps_after_hours is None


def test_price_that_the_owner_sets_is_that_of_the_studio() -> None:
    settings = Settings.from_environment({"LAPIDARY_PRICE_PER_HOUR": "1.10"})
    assert hourly_price(settings) == (1.10, "set with LAPIDARY_PRICE_PER_HOUR")
    assert hourly_price(Settings.from_environment({"ACCELERATOR": "a10g-small"})) is None, "no Space"
    with pytest.raises(InvalidConfig, match="is not a price"):
        Settings.from_environment({"LAPIDARY_PRICE_PER_HOUR": "cheap"})
