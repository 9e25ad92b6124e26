"""Wizard step 2: the data set: bring it in, see it as the trainer will, say which column is what, split it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from pydantic import ValidationError

from db.models import Dataset
from pipeline.config_fields import ConfigField
from pipeline.data.inspection import Inspection
from pipeline.data.mapping import Recognition
from pipeline.data_config import DatasetConfig
from pipeline.errors import InvalidConfig, UserError
from pipeline.validation import problems_of
from studio.datasets import SHARED_OWNER
from studio.forms import Form, element_id
from studio.registry import DEMO_NAME
from studio.service import Studio
from studio.ui.dataset_card import dataset_card, length_card, token_card, unrecognised_card
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout
from studio.ui.import_box import ImportBox, build_import_box
from studio.ui.mapping_editor import MappingEditor, build_mapping_editor

_SPLIT_FIELDS = ("train_split", "eval_split", "eval_share", "eval_rows", "split_column", "max_rows")
_HIDDEN_FIELDS = ("mapping", "prompt_column", "completion_column")
_PROGRESS = gr.Progress()
_SLOW: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


@dataclass(frozen=True)
class DatasetStep:
    """Components of the step that the rest of the wizard fills, and the events after which another choice stands."""

    studio: Studio
    form: Form
    box: ImportBox
    editor: MappingEditor
    preview: gr.HTML
    tokens: gr.HTML
    row: gr.Number
    look: gr.Button
    measure: gr.Button
    changes: list[Dependency] = field(default_factory=list)

    @property
    def outputs(self) -> list[Component]:
        """All components that `show` and `resume` update."""
        return [self.preview, self.tokens, *self.editor.outputs, *self.box.outputs]

    def show(self, values: Mapping[str, Any], owner: str) -> dict[Component, Any]:
        """The card of the chosen data set, or what is wrong with it, and its columns in the editor."""
        fields = {path.removeprefix("dataset."): value for path, value in values.items() if path.startswith("dataset.")}
        if not fields["path"]:
            text = "Choose one, or bring one in. The demo's shows the shape of a row."
            return {self.preview: callout("info", "No data set chosen", text), self.tokens: ""}
        dataset = dataset_at(self.studio, fields["path"], owner)
        columns = [] if dataset is None else dataset.columns
        shown = {self.tokens: "", **self.editor.show(_recognised(dataset), columns)}
        try:
            found = self.studio.registry.inspect(_config(fields), owner=owner)
        except UserError as error:
            return shown | {self.preview: self._problem(fields["path"], dataset, str(error), owner)}
        return shown | {self.preview: dataset_card(found, dataset)}

    def resume(self, owner: str) -> dict[Component, Any]:
        """What shows an import that goes on."""
        return self.box.resume(self.studio, owner)

    def show_tokens_on_demand(self, caller: Caller) -> None:
        """Wire the look at one row's tokens; once the whole form is rendered, since they depend on model and method."""

        def show_tokens(values: dict[Component, Any], request: gr.Request) -> str:
            try:
                typed, owner = self.form.read(values), caller.owner(request)
                return token_card(_tokens(self.studio, typed, row=values[self.row], owner=owner))
            except UserError as error:
                return callout("error", "No tokens to show", str(error))

        def measure_rows(values: dict[Component, Any], request: gr.Request, progress: gr.Progress = _PROGRESS) -> str:
            try:
                typed, owner = self.form.read(values), caller.owner(request)
                found, options = _with_tokenizer(self.studio, typed, owner=owner)
                report = self.studio.registry.databench.lengths(
                    found.folder, found.mapping, progress=lambda share, what: progress(share, desc=what), **options
                )
                return length_card(report)
            except UserError as error:
                return callout("error", "Nothing to measure", str(error))

        inputs = {*self.form.components.values(), self.row}
        self.measure.click(measure_rows, inputs, self.tokens, **_SLOW)
        gr.on([self.look.click, self.row.submit], show_tokens, inputs, self.tokens, **_SLOW)

    def _problem(self, path: str, dataset: Dataset | None, sentence: str, owner: str) -> str:
        if dataset is not None and dataset.recognition is None:
            try:
                return unrecognised_card(self.studio.registry.databench.describe(path), sentence)
            except UserError as error:
                sentence = str(error)
        return callout("error", "This data set cannot be used", sentence)


def build_dataset_step(form: Form, studio: Studio, caller: Caller) -> DatasetStep:
    """Render the step."""

    def choice(leaf: ConfigField) -> Component:
        return gr.Dropdown(
            [],
            value=None,
            label="Data set",
            info="One you have brought in before, or the demo's.",
            allow_custom_value=True,
            elem_id=element_id(leaf.path),
        )

    path = form.add("dataset.path", choice)
    box = build_import_box(studio, caller)
    preview = gr.HTML(elem_id="dataset-preview")
    with gr.Accordion("As the trainer sees it", open=False, elem_id="token-accordion"):
        row = gr.Number(value=1, precision=0, minimum=1, label="Row", elem_id="token-row")
        with gr.Row(elem_classes="lap-buttons"):
            measure = gr.Button("Measure every row", elem_id="measure-rows")
            look = gr.Button("Show its tokens", elem_id="show-tokens")
        tokens = gr.HTML(elem_id="dataset-tokens")
    with gr.Accordion("Columns", open=False, elem_id="mapping-accordion"):
        editor = build_mapping_editor()
        mapping_notice = gr.HTML(elem_id="mapping-notice")
    with gr.Accordion("Split and sample", open=False):
        with gr.Row():
            for name in ("eval_share", "eval_rows", "max_rows"):
                form.add(f"dataset.{name}")
        for name in _HIDDEN_FIELDS:
            form.hide(f"dataset.{name}")
        form.add_rest("dataset.")
    step = DatasetStep(studio, form, box, editor, preview, tokens, row, look, measure)
    of_dataset = [component for name, component in form.components.items() if name.startswith("dataset.")]

    def choose(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        # What was said about the columns and splits of another data set means nothing for this one.
        fresh = {name: value for name, value in form.defaults().items() if name in _ABOUT_ONE_DATA_SET}
        shown = {**form.read(values, prefix="dataset."), **fresh}
        cleared = {form.components[name]: update for name, update in _updates(form, fresh).items()}
        return cleared | step.show(shown, caller.owner(request))

    def take_import(identifier: str, values: dict[str, Any], owner: str) -> dict[Component, Any]:
        dataset = studio.registry.dataset(identifier, owner=owner)
        fresh = {name: value for name, value in form.defaults().items() if name in _ABOUT_ONE_DATA_SET}
        shown = {**values, **fresh, "dataset.path": dataset.path}
        cleared = {form.components[name]: update for name, update in _updates(form, fresh).items()}
        chosen = gr.update(choices=dataset_choices(studio, owner), value=dataset.path)
        return cleared | {path: chosen} | step.show(shown, owner)

    def finish_import(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        identifier = values[box.finished]
        if not identifier:
            return {preview: gr.skip()}
        return take_import(identifier, form.read(values, prefix="dataset."), caller.owner(request))

    def resplit(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        shown = step.show(form.read(values, prefix="dataset."), caller.owner(request))
        return {preview: shown[preview]}

    def remap(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        owner, chosen = caller.owner(request), form.read(values, prefix="dataset.")
        try:
            mapping = editor.read(*(values[component] for component in editor.inputs))
            dataset = dataset_at(studio, chosen["dataset.path"], owner)
            if dataset is None:
                return {mapping_notice: callout("error", "Not saved", "Bring the data set in first.")}
            studio.registry.remap(dataset.id, mapping, owner=owner, progress=lambda share, what: None)
        except UserError as error:
            return {mapping_notice: callout("error", "These columns cannot be used", str(error))}
        saved = callout("ok", "Saved", "The columns are kept with the data set.")
        return step.show(chosen, owner) | {mapping_notice: saved}

    about = [form.components[name] for name in _ABOUT_ONE_DATA_SET]
    step_outputs = [preview, tokens, *editor.outputs]

    step.changes.append(path.input(choose, set(of_dataset), [*about, *step_outputs], **QUIET))  # type: ignore[attr-defined]
    finished = box.finished.change
    step.changes.append(finished(finish_import, {*of_dataset, box.finished}, [path, *about, *step_outputs], **QUIET))
    for name in _SPLIT_FIELDS:
        component = form.components[f"dataset.{name}"]
        event = component.blur if isinstance(component, (gr.Textbox, gr.Number)) else component.input  # type: ignore[attr-defined]
        step.changes.append(event(resplit, set(of_dataset), preview, **QUIET))
    saved = editor.save.click(remap, {*of_dataset, *editor.inputs}, [*step_outputs, mapping_notice], **_SLOW)
    step.changes.append(saved)
    return step


_ABOUT_ONE_DATA_SET = tuple(
    f"dataset.{name}" for name in (*_HIDDEN_FIELDS, "train_split", "eval_split", "split_column", "eval_path")
)


def _updates(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    updates = form.updates({**form.defaults(), **values})
    return {name: updates[form.components[name]] for name in values}


def _config(fields: Mapping[str, Any]) -> DatasetConfig:
    """The document's section. Raises InvalidConfig."""
    try:
        return DatasetConfig.model_validate({name: value for name, value in fields.items() if value not in (None, "")})
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, prefix="dataset")) from error


def _recognised(dataset: Dataset | None) -> Any:
    if dataset is None or dataset.recognition is None:
        return None
    return Recognition.model_validate(dataset.recognition).mapping


def _tokens(studio: Studio, values: Mapping[str, Any], *, row: int | None, owner: str) -> list[dict[str, Any]]:
    found, options = _with_tokenizer(studio, values, owner=owner)
    return studio.registry.databench.tokens(found.folder, found.mapping, row=int(row or 1), **options)


def _with_tokenizer(studio: Studio, values: Mapping[str, Any], *, owner: str) -> tuple[Inspection, dict[str, Any]]:
    """The chosen data set, and what the form says of the tokenizer and of training. Raises DataProblem."""
    fields = {path.removeprefix("dataset."): value for path, value in values.items() if path.startswith("dataset.")}
    length = values["method.max_length"]
    options = {
        "base_model": values["model.base_model"],
        "revision": values["model.revision"],
        "trust_remote_code": bool(values["model.trust_remote_code"]),
        "train_on": values["method.train_on"],
        "max_length": int(length) if length else None,
    }
    return studio.registry.inspect(_config(fields), owner=owner), options


def dataset_at(studio: Studio, path: str, owner: str) -> Dataset | None:
    """The registry's entry of a folder, if there is one."""
    found, _ = studio.registry.datasets(owner=owner)
    return next((dataset for dataset in found if dataset.path == path), None)


def dataset_choices(studio: Studio, owner: str) -> list[tuple[str, str]]:
    """Data sets by name, version and size, for the list."""
    found, _ = studio.registry.datasets(owner=owner)
    # In its first seconds a new studio is still importing the demo.
    waiting = [] if any(data.owner == SHARED_OWNER for data in found) else [(DEMO_NAME, studio.registry.demo_path())]
    return waiting + [
        (f"{data.name}{f' v{data.version}' if data.version > 1 else ''} · {data.num_samples:,} rows", data.path)
        for data in found
    ]
