"""The settings of an augmentation as inputs: the method, what belongs to it, and the endpoint that is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from pipeline.augment.config import EndpointAugmentation, EndpointConfig, LocalAugmentation
from pipeline.config_fields import ConfigField, kind_of
from pipeline.data_config import AugmentJobConfig
from studio.forms import Form, default_widget

METHODS = (
    ("Slips of the keyboard in the questions", "typos"),
    ("Questions typed carelessly: small letters, capitals, no punctuation", "case"),
    ("The same rows without their system turn", "system_drop"),
    ("The same in other words (asks a model)", "paraphrase"),
    ("New rows like the ones there are (asks a model)", "synthesis"),
    ("Questions about documents (asks a model)", "documents"),
)
_MODELS: dict[str, type[BaseModel]] = {
    kind_of(model): model for model in (*get_args(LocalAugmentation), *get_args(EndpointAugmentation))
}
_ASKING = frozenset(kind_of(model) for model in get_args(EndpointAugmentation))
_ENDPOINT_IN_VIEW = ("base_url", "model", "requests_per_minute")
_LONG_TEXTS = ("instruction",)


@dataclass(frozen=True)
class AugmentForm:
    """The inputs. `upload` takes documents, whose paths then stand in `documents`."""

    method: gr.Dropdown
    forms: dict[str, Form]
    endpoint: Form
    documents: gr.Textbox
    upload: gr.File
    seed: gr.Number

    @property
    def inputs(self) -> list[Component]:
        """All that `document` reads."""
        fields = [component for form in (*self.forms.values(), self.endpoint) for component in form.components.values()]
        return [self.method, *fields, self.documents, self.seed]

    def document(self, values: Mapping[Component, Any]) -> dict[str, Any]:
        """What the inputs say, for `Augmentations.preview`. An empty input means the default."""
        kind = values[self.method]
        settings: dict[str, Any] = {"kind": kind, **_filled(self.forms[kind].read(values))}
        if kind in _ASKING:
            settings["endpoint"] = _filled(self.endpoint.read(values))
        if kind == "documents":
            paths = [path.strip() for path in (values[self.documents] or "").splitlines() if path.strip()]
            settings |= {"documents": paths} if paths else {}
        return {"augmentation": settings, **_filled({"seed": values[self.seed]})}


def build_augment_form() -> AugmentForm:
    """Render the inputs; those of a method show only while it is chosen."""
    method = gr.Dropdown(
        list(METHODS), value="typos", label="How rows are made", elem_id="augment-method", interactive=True
    )
    forms, groups = {}, {}
    for kind, model in _MODELS.items():
        with gr.Column(visible=kind == "typos") as groups[kind]:
            forms[kind] = _fields_of(kind, model)
            if kind == "documents":
                documents, upload = _document_inputs()
    with gr.Column(visible=False) as server:
        endpoint = Form(EndpointConfig)
        with gr.Row():
            for path in _ENDPOINT_IN_VIEW:
                endpoint.add(path, partial(_widget, "endpoint"))
        gr.HTML(
            '<p class="lap-meta">Any server that speaks OpenAI\'s chat completions. Its key is the stored key '
            '<code>LAPIDARY_ENDPOINT_KEY</code> of the <a class="lap-link" href="/settings">settings</a>. '
            "Training rows, or passages of your documents, are sent to it; evaluation rows never are.</p>"
        )
        with gr.Accordion("More about the endpoint", open=False):
            for path in endpoint.leaves:
                if path not in endpoint.components:
                    endpoint.add(path, partial(_widget, "endpoint"))
    default_seed = AugmentJobConfig.model_fields["seed"]
    seed = gr.Number(
        default_seed.default, precision=0, label="Seed", info=default_seed.description, elem_id="augment-seed"
    )

    def follow(chosen: str) -> list[Any]:
        shown = [gr.update(visible=kind == chosen) for kind in groups]
        return [*shown, gr.update(visible=chosen in _ASKING)]

    outputs = [*groups.values(), server]
    method.change(follow, method, outputs, queue=False, show_progress="hidden", api_visibility="private")
    return AugmentForm(method, forms, endpoint, documents, upload, seed)


def _fields_of(kind: str, model: type[BaseModel]) -> Form:
    form = Form(model)
    for path in form.leaves:
        if not path.startswith("endpoint.") and path != "documents":
            form.add(path, partial(_widget, kind))
    return form


def _document_inputs() -> tuple[gr.Textbox, gr.File]:
    upload = gr.File(
        label="Drop documents here (.txt, .md, .pdf, .docx)",
        file_count="multiple",
        elem_id="augment-upload",
        height=120,
    )
    paths = gr.Textbox(
        label="Documents",
        lines=2,
        max_lines=8,
        info="One file a line. What you drop above is added; a path on the studio's machine can be written.",
        elem_id="augment-documents",
    )
    return paths, upload


def _widget(kind: str, leaf: ConfigField) -> Component:
    # Two methods may have a field of the same name.
    named = replace(leaf, path=f"augment.{kind}.{leaf.path}")
    widget = default_widget(named)
    if leaf.name in _LONG_TEXTS and isinstance(widget, gr.Textbox):
        widget.lines, widget.max_lines = 3, 8
    return widget


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ""}
