"""What follows from what is chosen: the method from the data set, the learning rate from method and tuning."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.data.mapping import Recognition
from pipeline.method_config import MethodKind, default_learning_rate, method_for_format
from studio.forms import Form
from studio.service import Studio
from studio.ui.dataset_step import dataset_at
from studio.ui.handlers import QUIET, Caller

METHOD, TUNING, RATE = "method.kind", "tuning.kind", "training.learning_rate"
FOLLOWING = (METHOD, RATE)


def follow_kinds(form: Form) -> None:
    """Keep the default learning rate with method and tuning, unless it was changed."""

    def follow(method: MethodKind, tuning: str, rate: str) -> Any:
        return _rate(method, tuning, rate)

    inputs = [form.components[path] for path in (METHOD, TUNING, RATE)]
    events = [component.input for component in inputs[:2]]  # type: ignore[attr-defined]
    gr.on(events, follow, inputs, form.components[RATE], **QUIET)


def follow_data(form: Form, studio: Studio, caller: Caller) -> Callable[..., Any]:
    """The handler that chooses a method which learns from the chosen data set, where the present one does not."""

    def follow(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        typed = form.read(values)
        as_it_is = {form.components[METHOD]: gr.skip()}
        dataset = dataset_at(studio, typed["dataset.path"] or "", caller.owner(request))
        if dataset is None or dataset.recognition is None:
            return as_it_is
        found = Recognition.model_validate(dataset.recognition).mapping.format
        method = method_for_format(typed[METHOD], found)
        if method == typed[METHOD]:
            return as_it_is
        return {
            form.components[METHOD]: method,
            form.components[RATE]: _rate(method, typed[TUNING], typed[RATE]),
        }

    return follow


def _rate(method: MethodKind, tuning: str, typed: str) -> Any:
    try:
        current = float(typed)
    except ValueError:
        return gr.skip()
    return f"{default_learning_rate(method, tuning, current):g}"
