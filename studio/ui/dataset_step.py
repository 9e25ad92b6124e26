"""Wizard step 2: the data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from pipeline.config import DatasetConfig
from pipeline.config_fields import ConfigField
from pipeline.data_files import SUPPORTED_SUFFIXES, read_rows
from pipeline.data_formats import read_examples
from pipeline.errors import UserError
from studio.forms import Form, element_id
from studio.service import Studio
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout, dataset_preview

# A spread sheet with more columns is mapped by typing the name.
_COLUMNS_OFFERED = 200


@dataclass(frozen=True)
class DatasetStep:
    """Components of the step that other parts of the wizard fill."""

    preview: gr.HTML


def build_dataset_step(form: Form, studio: Studio, caller: Caller) -> DatasetStep:
    """Render the step: choose or upload, see what was recognised, map columns."""

    def choice(leaf: ConfigField) -> Component:
        return gr.Dropdown(
            [],
            value=None,
            label="Data set",
            info="One you have used before, the demo's, or the path of a file on this machine.",
            allow_custom_value=True,
            elem_id=element_id(leaf.path),
        )

    def column(leaf: ConfigField) -> Component:
        return gr.Dropdown(
            [],
            value=None,
            label=leaf.label,
            info=leaf.info.description,
            allow_custom_value=True,
            elem_id=element_id(leaf.path),
        )

    path = form.add("dataset.path", choice)
    upload = gr.File(
        label=f"Or drop a file here ({', '.join(SUPPORTED_SUFFIXES)})", file_count="single", elem_id="dataset-upload"
    )
    preview = gr.HTML(elem_id="dataset-preview")
    form.add("dataset.eval_share")
    with gr.Accordion("Columns and format", open=False):
        with gr.Row():
            prompt = form.add("dataset.prompt_column", column)
            completion = form.add("dataset.completion_column", column)
        form.add_rest("dataset.")
    eval_path = form.components["dataset.eval_path"]
    layout = form.components["dataset.format"]

    def choose(request: gr.Request, chosen: str | None) -> list[Any]:
        owner = caller.owner(request)
        known = {dataset.path: dataset for dataset in studio.datasets(owner=owner)}
        held_out = known[chosen].eval_path if chosen in known else None
        return [
            show_dataset({"path": chosen, "eval_path": held_out}),
            held_out or "",
            *[gr.update(choices=columns_of(chosen), value=None)] * 2,
            "auto",
        ]

    def take_file(request: gr.Request, file: str | None) -> list[Any]:
        owner = caller.owner(request)
        if file is None:
            return [gr.skip()] * 6
        try:
            dataset = studio.import_dataset(Path(file), name=Path(file).name, owner=owner)
        except UserError as error:
            return [gr.skip(), callout("error", "This file cannot be used", str(error)), *[gr.skip()] * 4]
        choices = dataset_choices(studio, owner)
        return [gr.update(choices=choices, value=dataset.path), *choose(request, dataset.path)]

    def remap(values: dict[Component, Any]) -> str:
        return show_dataset({name: values[form.components[f"dataset.{name}"]] for name in _SHAPING})

    shown = [preview, eval_path, prompt, completion, layout]
    path.input(choose, path, shown, **QUIET)  # type: ignore[attr-defined]
    upload.upload(take_file, upload, [path, *shown], api_visibility="private", show_progress="minimal")
    shaping = {form.components[f"dataset.{name}"] for name in _SHAPING}
    gr.on([prompt.input, completion.input, layout.input], remap, shaping, preview, **QUIET)  # type: ignore[attr-defined]
    return DatasetStep(preview)


_SHAPING = ("path", "format", "prompt_column", "completion_column")


def show_dataset(values: dict[str, Any]) -> str:
    """The preview of a data set, or what is wrong with it."""
    if not values["path"]:
        return callout("info", "No data set chosen", "Choose one or drop a file. The demo's shows the shape of a row.")
    try:
        config = DatasetConfig.model_validate({name: value for name, value in values.items() if value})
        return dataset_preview(read_examples(Path(config.path), config))
    except ValidationError as error:
        return callout("error", "This data set cannot be used", error.errors()[0]["msg"])
    except UserError as error:
        return callout("error", "This data set cannot be used", str(error))


def dataset_choices(studio: Studio, owner: str) -> list[tuple[str, str]]:
    """Data sets by name and size, for the list."""
    return [(f"{data.name} · {data.num_samples:,} rows", data.path) for data in studio.datasets(owner=owner)]


def columns_of(path: str | None) -> list[str]:
    """The columns of the first row; empty when the file cannot be read."""
    if not path:
        return []
    try:
        _, row = next(read_rows(Path(path)))
    except UserError:
        return []
    return [str(name) for name in list(row)[:_COLUMNS_OFFERED]]
