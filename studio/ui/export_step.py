"""Wizard step 4: the name of the model and what is written."""

import gradio as gr

from studio.forms import Form
from studio.ui.html import callout


def build_export_step(form: Form) -> None:
    """Render the step."""
    form.add("name")
    form.add_rest("export.")
    gr.HTML(
        callout("info", "Always saved first", "The adapter (or the full model), with its tokenizer and chat template.")
    )
