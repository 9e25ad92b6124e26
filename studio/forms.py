"""Gradio inputs generated from the job document: one field, one widget, no second list of names."""

import json
from collections.abc import Callable, Container, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from pipeline.config_fields import ConfigField, config_fields

Widget = Callable[[ConfigField], Component]


class Form:
    """The inputs of a document, rendered one by one where a page wants them, and read as a whole."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.leaves = {leaf.path: leaf for leaf in config_fields(model)}
        self.components: dict[str, Component] = {}
        self._hidden: set[str] = set()

    def add(self, path: str, widget: Widget | None = None) -> Component:
        """Render the field at `path` here, with a widget of its own if it deserves better."""
        leaf = self.leaves[path]
        component = (widget or default_widget)(leaf)
        if leaf.variant is not None and self.leaves[leaf.variant[0]].default not in leaf.variant[1]:
            component.visible = False  # type: ignore[attr-defined]
        self.components[path] = component
        return component

    def hide(self, path: str) -> Component:
        """Keep the field at `path` without showing it: another part of the page edits it."""
        self._hidden.add(path)
        self.components[path] = gr.Textbox(value="", visible=False, elem_id=element_id(path))
        return self.components[path]

    def add_rest(self, prefix: str) -> list[Component]:
        """Render every field below `prefix` that has no input yet."""
        missing = [path for path in self.leaves if path.startswith(prefix) and path not in self.components]
        return [self.add(path) for path in missing]

    def follow_variants(self) -> None:
        """Show the inputs of a variant only while it is chosen."""
        shown = {path: component for path, component in self.components.items() if path not in self._hidden}
        for path, choice in self.components.items():
            owned = {p: c for p, c in shown.items() if (v := self.leaves[p].variant) and v[0] == path}
            if owned:
                kinds = [leaf.variant[1] for p in owned if (leaf := self.leaves[p]).variant]

                def show(chosen: str, kinds: list[tuple[str, ...]] = kinds) -> list[Any]:
                    return _as_outputs([gr.update(visible=chosen in of) for of in kinds])

                choice.change(  # type: ignore[attr-defined]
                    show, choice, list(owned.values()), queue=False, show_progress="hidden", api_visibility="private"
                )

    def read(self, values: Mapping[Component, Any], *, prefix: str = "") -> dict[str, Any]:
        """The values as typed, by dotted path; only those below `prefix`."""
        return {path: values[component] for path, component in self.components.items() if path.startswith(prefix)}

    def updates(self, values: Mapping[str, Any]) -> dict[Component, Any]:
        """What makes the form show `values`; inputs of a variant that is not chosen are hidden."""
        found = {}
        for path, component in self.components.items():
            variant = None if path in self._hidden else self.leaves[path].variant
            chosen = (
                {} if variant is None or variant[0] not in values else {"visible": values[variant[0]] in variant[1]}
            )
            if path in values:
                found[component] = gr.update(value=_shown(self.leaves[path], values[path]), **chosen)
            elif chosen:
                found[component] = gr.update(**chosen)
        return found

    def document(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The nested data that `values` describe, without the fields of variants that are not chosen."""
        data: dict[str, Any] = {}
        for path, value in values.items():
            variant = self.leaves[path].variant if path in self.leaves else None
            if variant is not None and values[variant[0]] not in variant[1]:
                continue
            node = data
            *parents, name = path.split(".")
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = value
        return data

    def defaults(self) -> dict[str, Any]:
        """The values of a document in which nothing was chosen."""
        return {path: _shown(leaf, leaf.default) for path, leaf in self.leaves.items()}


def flatten(document: Mapping[str, Any], prefix: str = "", *, leaves: Container[str] = ()) -> dict[str, Any]:
    """A nested document by dotted path; what stands at one of `leaves` stays whole."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and f"{prefix}{name}" not in leaves:
            flat.update(flatten(value, f"{prefix}{name}.", leaves=leaves))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def default_widget(leaf: ConfigField) -> Component:
    """The input that suits a field's type. Bounds are left to the document's validation, which names the field."""
    shared: dict[str, Any] = {"label": leaf.label, "info": leaf.info.description, "elem_id": element_id(leaf.path)}
    value = _shown(leaf, leaf.default)
    if leaf.choices:
        return gr.Dropdown(list(leaf.choices), value=value, **shared)
    if leaf.options:
        return gr.CheckboxGroup(list(leaf.options), value=value, **shared)
    if leaf.type is bool:
        return gr.Checkbox(value=bool(value), **shared)
    if leaf.type is int:
        return gr.Number(value=value, precision=0, **shared)
    return gr.Textbox(value=value, max_lines=1, **shared)


def element_id(path: str) -> str:
    """The HTML id of a field's input."""
    return "field-" + path.replace(".", "-").replace("_", "-")


def _shown(leaf: ConfigField, value: Any) -> Any:
    if isinstance(value, float) and leaf.type is float:
        return f"{value:g}"
    if value is None and leaf.type is not int:
        return ""
    if leaf.options:
        return list(value)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, (list, tuple)):
        return json.dumps([_plain(item) for item in value]) if value else ""
    return json.dumps(_plain(value)) if isinstance(value, (dict, BaseModel)) else value


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value


def _as_outputs(updates: list[Any]) -> Any:
    return updates[0] if len(updates) == 1 else updates
