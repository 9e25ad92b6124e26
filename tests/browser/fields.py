"""Typing as a person does: into a field that has been drawn."""

from playwright.sync_api import Locator

# Gradio gives a field that has just appeared the value it had been sent before, one tick after drawing it.
_TWO_FRAMES = "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


def fill(field: Locator, text: str) -> None:
    """Type `text` into a field, in place of what stands there."""
    field.wait_for()
    field.evaluate(_TWO_FRAMES)
    field.fill(text)
