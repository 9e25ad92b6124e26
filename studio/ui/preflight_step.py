"""Wizard step 5: what preflight found, fixes of one click, and the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.checks.finding import Finding, Fix
from pipeline.errors import InvalidConfig
from studio.service import Studio
from studio.ui.html import finding_list

_FIX_BUTTONS = 4


@dataclass(frozen=True)
class PreflightStep:
    """The step's components, and what they show for a document."""

    findings: gr.HTML
    fix_buttons: Sequence[gr.Button]
    start: gr.Button

    @property
    def outputs(self) -> list[Component]:
        """All components that `show` updates."""
        return [self.findings, *self.fix_buttons, self.start]

    def show(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> dict[Component, Any]:
        """Findings, the buttons that mend them, and whether the run may start."""
        findings = check(studio, document, owner=owner)
        fixes = _fixes_of(findings)
        shown: dict[Component, Any] = {self.findings: finding_list(findings)}
        for index, button in enumerate(self.fix_buttons):
            offered = index < len(fixes)
            shown[button] = gr.update(visible=offered, value=fixes[index].label if offered else "")
        allowed = not any(finding.severity == "error" for finding in findings)
        return shown | {self.start: gr.update(interactive=allowed)}

    def fixes(self, studio: Studio, document: Mapping[str, Any], *, owner: str) -> list[Fix]:
        """The fixes in the order of the buttons."""
        return _fixes_of(check(studio, document, owner=owner))


def build_preflight_step() -> tuple[PreflightStep, gr.Button]:
    """Render the step; the button goes one step back."""
    findings = gr.HTML(elem_id="preflight-findings")
    with gr.Row(elem_classes="lap-buttons"):
        buttons = [gr.Button(visible=False, size="sm", elem_id=f"fix-{index}") for index in range(_FIX_BUTTONS)]
    with gr.Row(elem_classes="lap-buttons"):
        back = gr.Button("Back", variant="secondary", elem_id="back-4")
        start = gr.Button("Start the run", variant="primary", interactive=False, elem_id="start-run")
    return PreflightStep(findings, buttons, start), back


def check(studio: Studio, document: Mapping[str, Any], *, owner: str) -> list[Finding]:
    """All findings about a document; problems of its fields are findings too."""
    try:
        return studio.preflight(document, owner=owner).findings
    except InvalidConfig as error:
        return [
            Finding(code=error.code, severity="error", field=problem.field, message=problem.message)
            for problem in error.problems
        ]


def _fixes_of(findings: Sequence[Finding]) -> list[Fix]:
    return [fix for finding in findings for fix in finding.fixes][:_FIX_BUTTONS]
