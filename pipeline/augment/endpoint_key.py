"""EndpointKey: the secret of an endpoint. It goes into one header, and is taken out of all that is shown."""

import ipaddress
import os
from typing import Self
from urllib.parse import urlsplit

from pipeline.errors import DataProblem

KEY_VARIABLE = "LAPIDARY_ENDPOINT_KEY"

_SHOWN_AS = "[key]"
# Shorter ones are placeholders such as EMPTY, words that an answer may contain.
_SHORTEST_SECRET = 8
_LOCAL_NAMES = (".local", ".lan", ".internal", ".home.arpa", ".localhost")


class EndpointKey:
    """A bearer key, or none. Its text never shows it.

    Raises:
        DataProblem: it has characters that cannot be sent in a header.
    """

    def __init__(self, value: str | None) -> None:
        self._value = "" if value is None else value.strip()
        # The library that sends the header quotes what it cannot send.
        if not (self._value.isascii() and self._value.isprintable()) or " " in self._value:
            raise DataProblem("The endpoint's key has spaces or characters that no key has. Copy and store it again.")

    @classmethod
    def from_environment(cls) -> Self:
        """The key of this process; none if its environment has none."""
        return cls(os.environ.get(KEY_VARIABLE))

    def __repr__(self) -> str:
        return f"EndpointKey({_SHOWN_AS if self.is_set else None})"

    @property
    def is_set(self) -> bool:
        """Whether there is a key."""
        return bool(self._value)

    def headers(self) -> dict[str, str]:
        """The header that carries it."""
        return {"authorization": f"Bearer {self._value}"} if self.is_set else {}

    def hide_in(self, text: str) -> str:
        """The text without the key, also where JSON's optional escape of the slash was used."""
        if len(self._value) < _SHORTEST_SECRET:
            return text
        return text.replace(self._value, _SHOWN_AS).replace(self._value.replace("/", "\\/"), _SHOWN_AS)

    def raise_if_readable_on_the_way_to(self, address: str) -> None:
        """Refuse to send a key unencrypted beyond the local network.

        Raises:
            DataProblem: it would be.
        """
        parts = urlsplit(address)
        if self.is_set and parts.scheme == "http" and is_public_host(parts.hostname):
            raise DataProblem(
                f"The address {address} is not encrypted, so the key could be read on its way. Write https://, "
                "or delete the key if the server needs none."
            )


def is_public_host(host: str | None) -> bool:
    """Whether requests to the host leave the local network, as far as its name tells."""
    if host is None or ("." not in host and ":" not in host):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return not host.lower().rstrip(".").endswith(_LOCAL_NAMES)
