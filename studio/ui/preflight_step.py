"""Wizard step 5: what preflight found, what the run will need, fixes of one click, and the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.checks.finding import Finding, Fix
from pipeline.errors import InvalidConfig, UserError
from pipeline.estimates import Fit
from pipeline.preflight import Preflight, best_device
from pipeline.prices import hourly_price
from studio.line_client import RequestFailed
from studio.service import Studio
from studio.ui.estimate_card import WAITING, estimate_card, fit_table, needs_fitting
from studio.ui.html import callout, finding_list
from studio.ui.smoke_box import SmokeBox, build_smoke_box

_FIX_BUTTONS = 4


@dataclass(frozen=True)
class PreflightStep:
    """The step's components, and what they show for a document."""

    findings: gr.HTML
    estimate: gr.HTML
    fix_buttons: Sequence[gr.Button]
    fit: gr.Button
    smoke: SmokeBox
    start: gr.Button

    @property
    def outputs(self) -> list[Component]:
        """All components that `show` and `show_estimate` update."""
        return [self.findings, self.estimate, *self.fix_buttons, self.fit, *self.smoke.outputs, self.start]

    def show(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> dict[Component, Any]:
        """What is known at once: findings, the buttons that mend them, and whether the run may start."""
        try:
            checked = studio.preflight(document, owner=owner)
        except InvalidConfig as error:
            return self._shown(_problems(error)) | {self.estimate: "", self.fit: gr.update(visible=False)}
        tried = self.smoke.show(studio, document, owner=owner)
        return (
            self._shown(_all_findings(studio, checked, owner)) | self._estimated(studio, checked, waiting=True) | tried
        )

    def show_estimate(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> dict[Component, Any]:
        """The same with memory and time, which may take some seconds."""
        try:
            checked = studio.full_preflight(document, owner=owner)
        except UserError:
            # The findings say what is wrong.
            return {self.estimate: ""}
        return self._shown(_all_findings(studio, checked, owner)) | self._estimated(studio, checked, waiting=False)

    def fixes(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> list[Fix]:
        """The fixes in the order of the buttons."""
        try:
            # What was estimated to show the buttons is remembered.
            return _fixes_of(_all_findings(studio, studio.full_preflight(document, owner=owner), owner))
        except InvalidConfig as error:
            return _fixes_of(_problems(error))

    def find_fit(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> tuple[Fit | None, str]:
        """What makes the run fit, and the words and the table to show for it."""
        try:
            found = studio.fit(document, owner=owner)
        except (InvalidConfig, RequestFailed) as error:
            return None, callout("error", "Nothing could be tried", str(error))
        if found is None:
            return None, callout("info", "Nothing to fit", "The memory of this machine is not known.")
        if found.patch is None:
            text = "Choose a smaller model, or a device with more memory."
            return found, callout("error", "Nothing that was tried fits", text) + fit_table(found)
        if not found.patch:
            return found, callout("ok", "It fits as it is", "Nothing was changed.")
        return found, callout("ok", "Changed so that it fits", f"{found.label}.") + fit_table(found)

    def _shown(self, findings: Sequence[Finding]) -> dict[Component, Any]:
        fixes = _fixes_of(findings)
        shown: dict[Component, Any] = {self.findings: finding_list(findings)}
        for index, button in enumerate(self.fix_buttons):
            offered = index < len(fixes)
            shown[button] = gr.update(visible=offered, value=fixes[index].label if offered else "")
        allowed = not any(finding.severity == "error" for finding in findings)
        return shown | {self.start: gr.update(interactive=allowed)}

    def _estimated(self, studio: Studio, checked: Preflight, *, waiting: bool) -> dict[Component, Any]:
        if checked.estimate is None:
            return {self.estimate: WAITING if waiting else "", self.fit: gr.update(visible=False)}
        shown = best_device(checked.estimate)
        card = estimate_card(
            checked.estimate,
            hourly_price(studio.settings),
            history=studio.estimator.history(shown.name),
            fit=checked.facts.fit,
        )
        return {self.estimate: card, self.fit: gr.update(visible=needs_fitting(checked.estimate.devices))}


def build_preflight_step() -> tuple[PreflightStep, gr.Button]:
    """Render the step; the button goes one step back."""
    findings = gr.HTML(elem_id="preflight-findings")
    with gr.Row(elem_classes="lap-buttons"):
        buttons = [gr.Button(visible=False, size="sm", elem_id=f"fix-{index}") for index in range(_FIX_BUTTONS)]
    estimate = gr.HTML(elem_id="preflight-estimate")
    with gr.Row(elem_classes="lap-buttons"):
        fit = gr.Button("Fit it for me", visible=False, size="sm", elem_id="fit-it")
    smoke = build_smoke_box()
    with gr.Row(elem_classes="lap-buttons"):
        back = gr.Button("Back", variant="secondary", elem_id="back-4")
        start = gr.Button("Start the run", variant="primary", interactive=False, elem_id="start-run")
    return PreflightStep(findings, estimate, buttons, fit, smoke, start), back


def _all_findings(studio: Studio, checked: Preflight, owner: str) -> list[Finding]:
    """What the checks say, and what the trial of exactly this configuration found."""
    report = studio.trials.report_for(checked.config, owner=owner)
    return checked.findings if report is None else [*report.findings, *checked.findings]


def _problems(error: InvalidConfig) -> list[Finding]:
    return [
        Finding(code=error.code, severity="error", field=problem.field, message=problem.message)
        for problem in error.problems
    ]


def _fixes_of(findings: Sequence[Finding]) -> list[Fix]:
    return [fix for finding in findings for fix in finding.fixes][:_FIX_BUTTONS]
