"""The box that makes further rows for a data set: ten to look at, all of them, their review, and the next version."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from db.models import Job
from db.states import RESTING, JobState
from pipeline.augment.config import EndpointAugmentation
from pipeline.errors import InvalidConfig, UserError
from studio.augmentation_view import augmentation_view
from studio.service import Studio
from studio.ui.augment_card import outcome_card, preview_card, progress_card
from studio.ui.augment_form import AugmentForm, build_augment_form
from studio.ui.dataset_card import transfer_card
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout, problem_list
from studio.ui.review_table import ReviewTable, build_review_table
from studio.views import transfer_view

_TICK_SECONDS = 0.5
_OPEN = "(id) => { if (id) window.location.assign('/data?id=' + encodeURIComponent(id)) }"
_NOT_MADE = "No rows can be made"


@dataclass(frozen=True)
class AugmentBox:
    """The box's components. `watched` says what is under way: a kind (preview, make, import) and an id."""

    studio: Studio
    accordion: gr.Accordion
    watched: gr.Textbox
    shown: gr.Textbox
    made: gr.Textbox
    finished: gr.Textbox
    status: gr.HTML
    timer: gr.Timer
    make: gr.Button
    cancel: gr.Button
    go_on: gr.Button
    review: ReviewTable

    @property
    def outputs(self) -> list[Component]:
        """All that the handlers of the box update."""
        controls = [self.watched, self.shown, self.made, self.finished, self.status, self.timer]
        return [*controls, self.make, self.cancel, self.go_on, *self.review.outputs]

    def resume(self, dataset_id: str, owner: str) -> dict[Any, Any]:
        """What shows the last rows made for a data set, after the page was loaded anew."""
        found = self.studio.augmentations.of_dataset(dataset_id, owner=owner)
        if not found:
            return {}
        opened = {self.accordion: gr.update(open=True)}
        last = found[0]
        if last.state in RESTING:
            return opened | {self.made: last.id} | self._made(last, owner)
        return opened | self._follow("make", last)

    def begin(self, kind: str, start: Callable[[], Job]) -> dict[Component, Any]:
        """Start something and follow it, or say why it cannot be."""
        try:
            return self._follow(kind, start())
        except InvalidConfig as error:
            return {self.status: problem_list(error.problems)}
        except UserError as error:
            return {self.status: callout("error", _NOT_MADE, str(error))}

    def watch(self, watched: str, owner: str) -> dict[Component, Any]:
        """How far it is, and what came of it."""
        kind, _, identifier = watched.partition(":")
        if kind == "import":
            return self._watch_import(identifier, owner)
        job = self.studio.augmentations.job(identifier, owner=owner)
        if job.state not in RESTING:
            what = "Making ten rows to look at" if kind == "preview" else f"Making rows for {job.name}"
            return {self.status: progress_card(augmentation_view(job), what=what)}
        return self._previewed(job) if kind == "preview" else self._made(job, owner)

    def _follow(self, kind: str, job: Job) -> dict[Component, Any]:
        waiting = {"state": str(job.state), "progress": job.progress, "message": job.message}
        what = {"preview": "Making ten rows to look at", "make": f"Making rows for {job.name}"}
        hidden = {} if kind == "import" else self.review.hide()
        return hidden | {
            self.watched: f"{kind}:{job.id}",
            self.status: progress_card(waiting, what=what.get(kind, f"Adding the rows to {job.name}")),
            self.timer: gr.Timer(active=True),
            self.make: gr.update(interactive=False),
            self.cancel: gr.update(visible=True),
            self.go_on: gr.update(visible=False),
            **({self.made: job.id} if kind == "make" else {}),
        }

    def _ended(self) -> dict[Component, Any]:
        return {self.timer: gr.Timer(active=False), self.cancel: gr.update(visible=False)}

    def _previewed(self, job: Job) -> dict[Component, Any]:
        shown = self.studio.augmentations.preview_of(job)
        if job.state != JobState.COMPLETED or shown is None:
            return self._ended() | {self.status: callout("error", _NOT_MADE, job.error_message or "It was cancelled.")}
        settings = job.config.augmentation
        per_minute = settings.endpoint.requests_per_minute if isinstance(settings, EndpointAugmentation) else None
        return self._ended() | {
            self.status: preview_card(shown, per_minute=per_minute),
            self.shown: job.id,
            self.make: gr.update(interactive=shown.estimate.rows > 0),
        }

    def _made(self, job: Job, owner: str) -> dict[Component, Any]:
        found = self.review.read(job.id, owner)
        return self._ended() | {
            self.status: outcome_card(augmentation_view(job), found["counts"]),
            self.go_on: gr.update(visible=job.state != JobState.COMPLETED),
            **self.review.show(found),
        }

    def _watch_import(self, identifier: str, owner: str) -> dict[Component, Any]:
        job = self.studio.registry.transfer(identifier, owner=owner)
        card = transfer_card(transfer_view(job))
        if job.state not in RESTING:
            return {self.status: card}
        done = job.state == JobState.COMPLETED
        return self._ended() | {self.status: card, self.finished: job.facts["dataset_id"] if done else ""}


def build_augment_box(studio: Studio, caller: Caller, chosen: gr.Textbox) -> AugmentBox:
    """Render the box for the data set whose id stands in `chosen`."""
    verbs = studio.augmentations
    with gr.Accordion("Add rows", open=False, elem_id="add-rows") as accordion:
        gr.HTML(
            '<p class="lap-meta">Further training rows, made from those that there are. You see ten first, and '
            "nothing is added before you accepted it.</p>"
        )
        form = build_augment_form()
        with gr.Row(elem_classes="lap-buttons"):
            show = gr.Button("Show ten first", elem_id="augment-preview")
            make = gr.Button("Make the rows", variant="primary", interactive=False, elem_id="augment-make")
        status = gr.HTML(elem_id="augment-status")
        with gr.Row(elem_classes="lap-buttons"):
            cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="augment-cancel")
            go_on = gr.Button("Go on", visible=False, size="sm", elem_id="augment-go-on")
        watched, shown, made, finished = (gr.Textbox(visible=False) for _ in range(4))
        review = build_review_table(studio, caller, made)
        timer = gr.Timer(_TICK_SECONDS, active=False)
    box = AugmentBox(
        studio, accordion, watched, shown, made, finished, status, timer, make, cancel, go_on, review
    )  # fmt: skip

    def show_ten(values: dict[Component, Any], request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return box.begin("preview", lambda: verbs.preview(values[chosen], form.document(values), owner=owner))

    def make_rows(dataset_id: str, preview: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)

        def start() -> Job:
            # What was shown is what is made, whatever stands in the inputs by now.
            settings = verbs.job(preview, owner=owner).config
            wanted = {"augmentation": settings.augmentation.model_dump(mode="json"), "seed": settings.seed}
            return verbs.start(dataset_id, wanted, owner=owner)

        return box.begin("make", start)

    def continue_making(job: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return box.begin("make", lambda: verbs.retry(job, owner=owner))

    def add_accepted(job: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return box.begin("import", lambda: verbs.accept(job, owner=owner))

    def watch(job: str, request: gr.Request) -> dict[Component, Any]:
        return box.watch(job, caller.owner(request))

    def stop(job: str, request: gr.Request) -> None:
        try:
            studio.cancel(job.partition(":")[2], owner=caller.owner(request))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    outputs = box.outputs
    show.click(show_ten, {chosen, *form.inputs}, outputs, **QUIET)
    make.click(make_rows, [chosen, shown], outputs, **QUIET)
    go_on.click(continue_making, made, outputs, **QUIET)
    review.add.click(add_accepted, made, outputs, **_SLOW)
    timer.tick(watch, watched, outputs, **QUIET)
    cancel.click(stop, watched, None, **QUIET)
    finished.change(None, finished, js=_OPEN)
    _take_documents(form, studio, caller, status)
    gr.on(
        [component.input for component in form.inputs],  # type: ignore[attr-defined]
        lambda: gr.update(interactive=False), None, make, **QUIET,
    )  # fmt: skip
    return box


# Every row is read and written once.
_SLOW: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def _take_documents(form: AugmentForm, studio: Studio, caller: Caller, status: gr.HTML) -> None:
    def take(files: list[str] | None, paths: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        kept = [line for line in (paths or "").splitlines() if line.strip()]
        try:
            for file in files or ():
                kept.append(str(studio.augmentations.take_document(Path(file), name=Path(file).name, owner=owner)))
        except UserError as error:
            return {status: callout("error", "This document cannot be used", str(error))}
        return {form.documents: "\n".join(kept), form.upload: None}

    outputs = [form.documents, form.upload, status]
    form.upload.upload(take, [form.upload, form.documents], outputs, **_SLOW)
