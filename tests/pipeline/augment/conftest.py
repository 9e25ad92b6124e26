"""A local endpoint and training rows for it."""

from collections.abc import Iterator

import pytest

from pipeline.augment.config import EndpointConfig
from pipeline.data.example import Example
from tests.endpoint_server import EndpointServer
from tests.pipeline.augment.material import conversation, endpoint_config


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """A server that takes every request."""
    with EndpointServer() as running:
        yield running


@pytest.fixture
def endpoint(server: EndpointServer) -> EndpointConfig:
    """The configuration that names the server."""
    return endpoint_config(server)


@pytest.fixture
def examples() -> list[Example]:
    """Forty conversations."""
    return [
        conversation(f"Which stone has the number {n}?", f"The stone called {chr(96 + n % 26)}.", row=n)
        for n in range(1, 41)
    ]
