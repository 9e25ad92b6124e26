"""Wizard step 3: how the model is tuned."""

import gradio as gr
from gradio.components import Component

from pipeline.config_fields import ConfigField
from studio.forms import Form, element_id

_KIND_NAMES = {"lora": "LoRA: a small adapter", "full": "Full: every weight"}
_IN_VIEW = (
    ("training.epochs", "training.learning_rate"),
    ("training.per_device_batch_size", "training.gradient_accumulation_steps"),
    ("tuning.rank", "tuning.alpha"),
    ("method.max_length", "method.train_on"),
)


def build_hyperparameter_step(form: Form) -> None:
    """Render the step: the settings that people change in view, all others one click away."""
    form.add("tuning.kind", _tuning_choice)
    for row in _IN_VIEW:
        with gr.Row():
            for path in row:
                form.add(path)
    with gr.Accordion("Advanced", open=False):
        for prefix in ("tuning.", "method.", "training."):
            form.add_rest(prefix)


def _tuning_choice(leaf: ConfigField) -> Component:
    choices = [(_KIND_NAMES[kind], kind) for kind in leaf.choices]
    return gr.Radio(choices, value=leaf.default, label="Tuning", elem_id=element_id(leaf.path))
