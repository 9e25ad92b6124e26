"""Settings come from the environment; flags win over it."""

from pathlib import Path

import pytest

from pipeline.errors import InvalidConfig
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
