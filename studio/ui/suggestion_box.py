"""The suggestions of wizard step 3: one button that sets values which suit model, rows and machine, and says why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from pipeline.errors import InvalidConfig, UserError
from pipeline.suggestions import SuggestedValue
from studio.forms import Form
from studio.service import Studio
from studio.smart_defaults import suggest_values
from studio.ui.handlers import Caller
from studio.ui.html import callout, field_label, problem_list


@dataclass(frozen=True)
class SuggestionBox:
    """The button, and the reasons that it brings."""

    button: gr.Button
    reasons: gr.HTML


def build_suggestion_box() -> SuggestionBox:
    """Render the button."""
    with gr.Row(elem_classes="lap-buttons"):
        button = gr.Button("Suggest values", size="sm", elem_id="suggest-values")
    return SuggestionBox(button, gr.HTML(elem_id="suggestions"))


def set_suggested_values(form: Form, studio: Studio, box: SuggestionBox, caller: Caller) -> Dependency:
    """When the button is pressed, set the fields and show the reasons; once the whole form is rendered."""

    def set_values(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        typed = form.read(values)
        try:
            suggested = suggest_values(studio, form.document(typed), owner=caller.owner(request)).values
        except InvalidConfig as error:
            return {box.reasons: problem_list(error.problems)}
        except UserError as error:
            return {box.reasons: callout("error", "Nothing to suggest", str(error))}
        updates = form.updates({**typed, **{value.field: value.value for value in suggested}})
        changed = [value for value in suggested if not _same(form, value, typed, updates)]
        return updates | {box.reasons: reason_list(changed, kept=len(suggested) - len(changed))}

    fields = list(form.components.values())
    # Counting tokens may take some seconds.
    slow: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": box.reasons}
    return box.button.click(  # type: ignore[attr-defined,no-any-return]
        set_values, set(fields), [*fields, box.reasons], **slow
    )


def reason_list(changed: Sequence[SuggestedValue], *, kept: int) -> str:
    """The values that were set, each with its reason, and how many were right already."""
    rest = f"{kept} other {'value was' if kept == 1 else 'values were'} as suggested already." if kept else ""
    if not changed:
        return callout("ok", "Nothing to change", rest)
    items = "".join(
        f"<li><strong>{escape(field_label(value.field))}: {escape(_shown(value.value))}</strong> "
        f"{escape(value.reason)}</li>"
        for value in changed
    )
    after = f"<p>{rest}</p>" if rest else ""
    head = '<div class="lap-callout__head">Set for you</div>'
    return f'<div class="lap-info" role="status">{head}<ul>{items}</ul>{after}</div>'


def _same(form: Form, value: SuggestedValue, typed: Mapping[str, Any], updates: Mapping[Component, Any]) -> bool:
    before, after = typed[value.field], updates[form.components[value.field]]["value"]
    try:
        return float(before) == float(after)
    except (TypeError, ValueError):
        return bool(before == after)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
