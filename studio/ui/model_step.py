"""Wizard step 1: the base model."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.config_fields import ConfigField
from studio.catalog import Catalog
from studio.forms import Form, element_id
from studio.service import Studio
from studio.ui.handlers import QUIET
from studio.ui.html import callout, key_values

_QUANTIZATION_CHOICES = {
    "none": "As they are",
    "4bit": "4 bits (QLoRA): a quarter of the memory",
    "8bit": "8 bits: half of it",
}


@dataclass(frozen=True)
class ModelStep:
    """Components of the step that other steps fill."""

    card: gr.HTML


def build_model_step(form: Form, studio: Studio) -> ModelStep:
    """Render the step. Choosing a model fills in the settings that suit it, once the whole form is rendered."""
    catalog = studio.catalog

    def choice(leaf: ConfigField) -> Component:
        choices = [(model.name, reference) for reference, model in catalog.models.items()]
        return gr.Dropdown(
            choices,
            value=choices[0][1],
            label="Base model",
            info=leaf.info.description,
            allow_custom_value=True,
            elem_id=element_id(leaf.path),
        )

    form.add("model.base_model", choice)
    card = gr.HTML(model_card(catalog, next(iter(catalog.models))))
    form.add("model.quantization", _quantization_choice)
    with gr.Accordion("Advanced", open=False):
        form.add_rest("model.")
    return ModelStep(card)


def _quantization_choice(leaf: ConfigField) -> Component:
    choices = [(_QUANTIZATION_CHOICES[kind], kind) for kind in leaf.choices]
    return gr.Radio(
        choices, value=leaf.default, label="Base weights", info=leaf.info.description, elem_id=element_id(leaf.path)
    )


def follow_model(form: Form, studio: Studio, step: ModelStep) -> None:
    """When the user chooses a model, show its card and fill in the settings recommended for it."""
    catalog = studio.catalog
    paths = sorted({path for model in catalog.models.values() for path in model.recommended})
    targets = [form.components[path] for path in paths]
    defaults = form.defaults()

    def choose_model(reference: str | None) -> list[Any]:
        values = {**{path: defaults[path] for path in paths}, **catalog.recommended(reference or "")}
        updates = form.updates({**defaults, **values})
        return [model_card(catalog, reference or ""), *(updates[target] for target in targets)]

    form.components["model.base_model"].input(  # type: ignore[attr-defined]
        choose_model, form.components["model.base_model"], [step.card, *targets], **QUIET
    )


def model_card(catalog: Catalog, reference: str) -> str:
    """What is known about a model."""
    if not reference:
        return callout("info", "No model chosen", "Choose one, or type a Hub id or the path of a folder.")
    model = catalog.models.get(reference)
    if model is None:
        return callout("info", reference, "Not in the catalogue; the studio's general settings are used.")
    size = f"{model.params_b:g} billion" if model.params_b >= 0.1 else f"{model.params_b * 1000:g} million"
    access = "accept its licence on the Hub and set HF_TOKEN" if model.gated else "open"
    facts = [
        ("Parameters", size),
        ("Context", f"{model.context_length:,} tokens"),
        ("Licence", model.licence),
        ("Access", access),
    ]
    return f'<div class="lap-card"><p>{model.description}</p>{key_values(facts)}</div>'
