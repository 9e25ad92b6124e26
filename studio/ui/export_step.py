"""Wizard step 4: the name of the model, the files that are made of it, and where they go."""

import gradio as gr

from pipeline.config_fields import ConfigField
from studio.forms import Form, element_id
from studio.ui.html import callout

_FORMATS = {
    "adapter": "Adapter, for PEFT and vLLM",
    "merged": "Merged safetensors, for transformers, vLLM and TGI",
    "gguf": "GGUF, for llama.cpp, Ollama and LM Studio",
    "gguf_adapter": "GGUF adapter, for llama.cpp",
    "onnx": "ONNX, experimental",
}


def build_export_step(form: Form) -> None:
    """Render the step."""
    form.add("name")
    gr.HTML(
        callout("info", "Always saved first", "The adapter (or the full model), with its tokenizer and chat template.")
    )
    formats = form.add("export.formats", _formats)
    with gr.Group(visible=False) as numbers:
        form.add("export.quantizations", _quantizations)
    form.add("export.destinations", _destinations)
    form.add("export.private", _private)
    # The same files, written by the run itself and not compared: for documents that ask for it, not for people.
    form.add("export.merged", lambda leaf: gr.Checkbox(value=False, visible=False, elem_id=element_id(leaf.path)))
    form.add_rest("export.")
    formats.change(  # type: ignore[attr-defined]
        lambda chosen: gr.update(visible="gguf" in chosen),
        formats,
        numbers,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _formats(leaf: ConfigField) -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        [(_FORMATS[name], name) for name in leaf.options],
        label="Made and proven when the run ends",
        info="Each file is compared with the trained model before it counts. More can be made on the run's page later.",
        value=[],
        elem_id=element_id(leaf.path),
    )


def _quantizations(leaf: ConfigField) -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        list(leaf.options),
        label="Number formats of the GGUF files",
        info="One file each: q8_0 hardly differs from the model, q4_k_m is half its size.",
        value=list(leaf.default),
        elem_id=element_id(leaf.path),
    )


def _private(leaf: ConfigField) -> gr.Checkbox:
    return gr.Checkbox(label="A new repository on the Hub is private", value=True, elem_id=element_id(leaf.path))


def _destinations(leaf: ConfigField) -> gr.Textbox:
    return gr.Textbox(
        label="Also send them to",
        info="hf://owner/name, s3://bucket/folder, gs://bucket/folder, or a folder; several with commas between them.",
        placeholder="hf://owner/name",
        max_lines=1,
        elem_id=element_id(leaf.path),
    )
