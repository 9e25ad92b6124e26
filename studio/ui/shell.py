"""The frame of every page: head, top bar, and the place where a page's live view is mounted."""

from html import escape
from typing import Any

import gradio as gr

PAGES = (
    ("Home", "/", "home"),
    ("New run", "/new", "plus"),
    ("Runs", "/runs", "list"),
    ("Data", "/data", "data"),
    ("Playground", "/playground", "chat"),
    ("Activity", "/activity", "bell"),
    ("Settings", "/settings", "gear"),
)
STATIC = "/static-lapidary"

LOADING = (
    '<div class="lap-card" aria-busy="true"><span class="lap-skeleton" style="width:40%"></span><br>'
    '<span class="lap-skeleton" style="height:160px"></span></div><p class="lap-sr" role="status">Loading…</p>'
)
_PLAIN: dict[str, Any] = {"apply_default_css": False, "padding": False}
_STYLESHEETS = "\n".join(
    f'<link rel="stylesheet" href="{STATIC}/css/{name}.css">'
    for name in ("tokens", "gradio", "layout", "controls", "data", "run", "adapt")
)
HEAD = f"""
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" type="image/svg+xml" href="{STATIC}/logo.svg">
{_STYLESHEETS}
<script src="{STATIC}/js/chart.js"></script>
<script type="module" src="{STATIC}/js/studio.js"></script>
"""


def top_bar(current: str) -> None:
    """The bar with the pages; `current` is the page's address."""
    # Gradio's own bar can only be hidden, not left out; `visible=False` does not hide it in this version.
    gr.Navbar(visible="hidden")  # type: ignore[arg-type]
    links = "".join(
        f'<a href="{path}"{_current(path == current)}><i class="lap-icon" data-icon="{icon}"></i>'
        f"{escape(name)}{_unread(path)}</a>"
        for name, path, icon in PAGES
    )
    gr.HTML(
        f'<a class="lap-skip" href="#lap-main">Skip to the page</a>'
        f'<header class="lap-shell"><a class="lap-wordmark" href="/">Lapidary</a>'
        f'<nav class="lap-nav" aria-label="Pages">{links}</nav></header>',
        **_PLAIN,
    )


def live_view(name: str, **data: str) -> gr.HTML:
    """A place that the script `assets/js` fills and keeps up to date from the REST interface."""
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    return gr.HTML(
        f'<main id="lap-main" class="lap-page" data-lap-view="{escape(name)}"{attributes} tabindex="-1">'
        f"{LOADING}</main>",
        **_PLAIN,
    )


def page_header(title: str, text: str) -> None:
    """The heading of a page made of Gradio's components."""
    gr.HTML(
        f'<header id="lap-main" class="lap-page-header" tabindex="-1"><div><h1>{escape(title)}</h1>'
        f'<p class="lap-sub">{escape(text)}</p></div></header>',
        **_PLAIN,
    )


def _current(is_current: bool) -> str:
    return ' aria-current="page"' if is_current else ""


def _unread(path: str) -> str:
    return '<span class="lap-unread" data-lap-view="unread" hidden></span>' if path == "/activity" else ""
