"""Gradio inputs generated from the job document: one field, one widget, no second list of names."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Widget = Callable[["Leaf"], Component]


@dataclass(frozen=True)
class Leaf:
    """One field of the document: its dotted path, what the class says of it, and the variant that it belongs to.

    `variant` is (path of the union, kind), for fields that exist only while that kind is chosen.
    """

    path: str
    name: str
    field: FieldInfo
    variant: tuple[str, str] | None = None

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace("_", " ").capitalize()

    @property
    def default(self) -> Any:
        """The default of the class, or None for a required field."""
        value = self.field.get_default(call_default_factory=True)
        return None if value is PydanticUndefined else value


def leaves(model: type[BaseModel], path: str = "", variant: tuple[str, str] | None = None) -> Iterator[Leaf]:
    """Every field of a document, nested classes and variants included, in the order of the classes."""
    for name, field in model.model_fields.items():
        dotted = f"{path}{name}"
        nested = [item for item in (field.annotation, *get_args(field.annotation)) if _is_model(item)]
        if field.discriminator:
            kinds = tuple(item.model_fields["kind"].default for item in nested)
            default = nested[0].model_fields["kind"].default
            choice = FieldInfo(annotation=Literal[kinds], default=default, description=nested[0].__doc__)  # type: ignore[valid-type]
            yield Leaf(f"{dotted}.kind", name, choice, variant)
            for item, kind in zip(nested, kinds, strict=True):
                yield from leaves(item, f"{dotted}.", (f"{dotted}.kind", kind))
        elif nested:
            yield from leaves(nested[0], f"{dotted}.", variant)
        elif name != "kind":
            yield Leaf(dotted, name, field, variant)


class Form:
    """The inputs of a document, rendered one by one where a page wants them, and read as a whole."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.leaves = {leaf.path: leaf for leaf in leaves(model)}
        self.components: dict[str, Component] = {}

    def add(self, path: str, widget: Widget | None = None) -> Component:
        """Render the field at `path` here, with a widget of its own if it deserves better."""
        leaf = self.leaves[path]
        component = (widget or default_widget)(leaf)
        self.components[path] = component
        return component

    def add_rest(self, prefix: str) -> list[Component]:
        """Render every field below `prefix` that has no input yet."""
        missing = [path for path in self.leaves if path.startswith(prefix) and path not in self.components]
        return [self.add(path) for path in missing]

    def follow_variants(self) -> None:
        """Show the inputs of a variant only while it is chosen."""
        for path, choice in self.components.items():
            owned = {p: c for p, c in self.components.items() if (v := self.leaves[p].variant) and v[0] == path}
            if owned:
                kinds = [leaf.variant[1] for p in owned if (leaf := self.leaves[p]).variant]

                def show(chosen: str, kinds: list[str] = kinds) -> list[Any]:
                    return _as_outputs([gr.update(visible=kind == chosen) for kind in kinds])

                choice.change(  # type: ignore[attr-defined]
                    show, choice, list(owned.values()), queue=False, show_progress="hidden", api_visibility="private"
                )

    def read(self, values: Mapping[Component, Any]) -> dict[str, Any]:
        """The values as typed, by dotted path."""
        return {path: values[component] for path, component in self.components.items()}

    def updates(self, values: Mapping[str, Any]) -> dict[Component, Any]:
        """What makes the form show `values`; inputs of a variant that is not chosen are hidden."""
        found = {}
        for path, component in self.components.items():
            variant = self.leaves[path].variant
            chosen = (
                {} if variant is None or variant[0] not in values else {"visible": values[variant[0]] == variant[1]}
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
            if variant is not None and values[variant[0]] != variant[1]:
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


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested document by dotted path."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def default_widget(leaf: Leaf) -> Component:
    """The input that suits a field's type. Bounds are left to the document's validation, which names the field."""
    shared: dict[str, Any] = {"label": leaf.label, "info": leaf.field.description, "elem_id": element_id(leaf.path)}
    annotation = _without_none(leaf.field.annotation)
    value = _shown(leaf, leaf.default)
    if get_origin(annotation) is Literal:
        return gr.Dropdown([str(item) for item in get_args(annotation)], value=value, **shared)
    if annotation is bool:
        return gr.Checkbox(value=bool(value), **shared)
    if annotation is int:
        return gr.Number(value=value, precision=0, **shared)
    return gr.Textbox(value=value, max_lines=1, **shared)


def element_id(path: str) -> str:
    """The HTML id of a field's input."""
    return "field-" + path.replace(".", "-").replace("_", "-")


def _shown(leaf: Leaf, value: Any) -> Any:
    if isinstance(value, float) and _without_none(leaf.field.annotation) is float:
        return f"{value:g}"
    if value is None and _without_none(leaf.field.annotation) is not int:
        return ""
    return value


def _without_none(annotation: Any) -> Any:
    plain = [item for item in get_args(annotation) if item is not type(None)]
    if type(None) in get_args(annotation):
        return _without_none(plain[0])
    return plain[0] if hasattr(annotation, "__metadata__") else annotation


def _is_model(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel)


def _as_outputs(updates: list[Any]) -> Any:
    return updates[0] if len(updates) == 1 else updates
