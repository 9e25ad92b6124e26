"""The box that tries the longest batch of a run on this machine: a button, progress, the result, and a cancel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.errors import InvalidConfig, UserError
from pipeline.smoke_report import SmokeReport
from studio.forms import Form
from studio.service import PreflightFailed, Studio
from studio.smoke import TrialCancelled
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout, finding_list, problem_list
from studio.ui.smoke_card import progress_card, report_card

_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class SmokeBox:
    """The box's components, and what they show."""

    button: gr.Button
    result: gr.HTML
    cancel: gr.Button
    timer: gr.Timer

    @property
    def outputs(self) -> list[Component]:
        """All components that a trial updates."""
        return [self.button, self.result, self.cancel, self.timer]

    def begin(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> dict[Component, Any]:
        """Begin a trial of the document and show it, or why it cannot be made."""
        try:
            checked = studio.require_startable(document, owner=owner)
            studio.trials.start(checked.config, owner=owner)
        except InvalidConfig as error:
            return {self.result: problem_list(error.problems)}
        except PreflightFailed as error:
            return {self.result: finding_list(error.findings)}
        except UserError as error:
            return {self.result: callout("warning", "Not now", str(error))}
        return self.watch(studio, owner=owner)

    def watch(self, studio: Studio, *, owner: str) -> dict[Component, Any]:
        """How far the owner's trial is, or what came of it."""
        trial = studio.trials.latest(owner=owner)
        if trial is None:
            return self._at_rest("")
        match trial.outcome:
            case None:
                return {
                    self.button: gr.update(interactive=False),
                    self.result: progress_card(trial.progress),
                    self.cancel: gr.update(visible=True),
                    self.timer: gr.Timer(active=True),
                }
            case SmokeReport() as report:
                return self._at_rest(report_card(report))
            case TrialCancelled() as cancelled:
                return self._at_rest(callout("info", "Nothing was tried", str(cancelled)))
            case error:
                return self._at_rest(callout("error", "The trial could not be made", str(error)))

    def show(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> dict[Component, Any]:
        """A trial that goes on, else what the last one of exactly this document found, else nothing."""
        trial = studio.trials.latest(owner=owner)
        if trial is not None and trial.outcome is None:
            return self.watch(studio, owner=owner)
        try:
            report = studio.trials.report_for(studio.preflight(document, owner=owner).config, owner=owner)
        except UserError:
            report = None
        return self._at_rest("" if report is None else report_card(report))

    def _at_rest(self, shown: str) -> dict[Component, Any]:
        return {
            self.button: gr.update(interactive=True),
            self.result: shown,
            self.cancel: gr.update(visible=False),
            self.timer: gr.Timer(active=False),
        }


def build_smoke_box() -> SmokeBox:
    """Render the box."""
    with gr.Row(elem_classes="lap-buttons"):
        button = gr.Button("Try the longest batch", size="sm", elem_id="smoke")
        cancel = gr.Button("Cancel the trial", visible=False, size="sm", elem_id="cancel-smoke")
    return SmokeBox(button, gr.HTML(elem_id="smoke-result"), cancel, gr.Timer(_TICK_SECONDS, active=False))


def try_on_demand(form: Form, studio: Studio, box: SmokeBox, caller: Caller) -> None:
    """Try the form's run when the button is pressed, and show how it goes; once the whole form is rendered."""

    def try_longest_batch(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        return box.begin(studio, form.document(form.read(values)), owner=caller.owner(request))

    def watch(request: gr.Request) -> dict[Component, Any]:
        return box.watch(studio, owner=caller.owner(request))

    def cancel(request: gr.Request) -> None:
        studio.trials.cancel(owner=caller.owner(request))

    box.button.click(try_longest_batch, set(form.components.values()), box.outputs, **QUIET)
    box.timer.tick(watch, None, box.outputs, **QUIET)
    box.cancel.click(cancel, None, None, **QUIET)
