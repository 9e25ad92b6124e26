"""Wizard step 3: how the model is tuned."""

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from pipeline.config_fields import ConfigField
from pipeline.method_config import MethodKind
from studio.forms import Form, element_id
from studio.ui.reward_editor import build_reward_editor

METHOD_CHOICES: dict[MethodKind, str] = {
    "sft": "Example answers (SFT)",
    "cpt": "Plain text (continued pre-training)",
    "dpo": "Preferred answers (DPO)",
    "orpo": "Preferred answers, no reference (ORPO)",
    "kto": "Good and bad answers (KTO)",
    "grpo": "Rewards (GRPO)",
    "reward": "Reward model",
}
_TUNING_CHOICES = {"lora": "LoRA: a small adapter", "full": "Full: every weight"}
# Inputs of a method that is not chosen are hidden.
_IN_VIEW = (
    ("method.beta", "method.num_generations", "method.max_completion_length"),
    ("training.epochs", "training.learning_rate"),
    ("training.per_device_batch_size", "training.gradient_accumulation_steps"),
    ("tuning.rank", "tuning.alpha"),
    ("method.max_length", "method.train_on"),
)


def build_hyperparameter_step(form: Form) -> list[Dependency]:
    """Render the step: the settings that people change in view, all others one click away. Returns the events after
    which a setting without an input of its own is another."""
    form.add("method.kind", _method_choice)
    form.add("tuning.kind", _tuning_choice)
    changes = build_reward_editor(form)
    for row in _IN_VIEW:
        with gr.Row():
            for path in row:
                form.add(path)
    with gr.Accordion("Advanced", open=False):
        for prefix in ("tuning.", "method.", "training."):
            form.add_rest(prefix)
    with gr.Accordion("Evaluation", open=False, elem_id="evaluation-accordion"):
        form.add_rest("evaluation.")
    with gr.Accordion("Trackers", open=False, elem_id="tracking-accordion"):
        form.add_rest("tracking.")
    return changes


def _method_choice(leaf: ConfigField) -> Component:
    choices = [(words, kind) for kind, words in METHOD_CHOICES.items()]
    return gr.Dropdown(
        choices,
        value=leaf.default,
        label="Method",
        info="What the rows teach. It follows the data set that is chosen.",
        elem_id=element_id(leaf.path),
    )


def _tuning_choice(leaf: ConfigField) -> Component:
    choices = [(_TUNING_CHOICES[kind], kind) for kind in leaf.choices]
    return gr.Radio(choices, value=leaf.default, label="Tuning", elem_id=element_id(leaf.path))
