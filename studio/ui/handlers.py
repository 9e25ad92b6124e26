"""What every page's handlers share: the caller, and how events are wired so that they stay private and quiet."""

from typing import Any

import gradio as gr

from studio.api.client_api import owner_of
from studio.auth import Authenticator

QUIET: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""Settings of an event that answers at once: not part of the public API, no queue, no spinner."""


class Caller:
    """Knows who uses a page."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def owner(self, request: gr.Request) -> str:
        """The owner that the page acts for. Raises gr.Error for a stranger."""
        return owner_of(self._authenticator, request)
