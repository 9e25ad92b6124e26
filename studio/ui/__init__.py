"""The pages, one line each."""

import gradio as gr

from studio.api.client_api import register_endpoints
from studio.auth import Authenticator
from studio.service import Studio
from studio.ui.data_page import build_data_page
from studio.ui.playground import build_playground
from studio.ui.settings_page import build_settings_page
from studio.ui.shell import live_view, top_bar
from studio.ui.wizard import build_wizard

# Uploads that were copied into the studio, and answers, are deleted after a day; looked for each hour.
_CACHE_LIFE_SECONDS = (3600, 86400)


def build_ui(studio: Studio, authenticator: Authenticator) -> gr.Blocks:
    """Every page and endpoint of the studio."""
    with gr.Blocks(
        title="Lapidary", fill_width=True, analytics_enabled=False, delete_cache=_CACHE_LIFE_SECONDS
    ) as demo:
        top_bar("/")
        live_view("home")
        register_endpoints(studio, authenticator)
    with demo.route("New run", "/new", show_in_navbar=False):
        top_bar("/new")
        build_wizard(demo, studio, authenticator)
    with demo.route("Runs", "/runs", show_in_navbar=False):
        top_bar("/runs")
        live_view("runs")
    with demo.route("Run", "/run", show_in_navbar=False):
        top_bar("/runs")
        live_view("run")
    with demo.route("Playground", "/playground", show_in_navbar=False):
        top_bar("/playground")
        build_playground(demo, studio, authenticator)
    with demo.route("Activity", "/activity", show_in_navbar=False):
        top_bar("/activity")
        live_view("activity")
    with demo.route("Data", "/data", show_in_navbar=False):
        top_bar("/data")
        build_data_page(demo, studio, authenticator)
    with demo.route("Settings", "/settings", show_in_navbar=False):
        top_bar("/settings")
        build_settings_page(demo, studio.keys, authenticator)
    return demo
