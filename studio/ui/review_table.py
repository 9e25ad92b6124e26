"""The table of rows that were made: a page at a time, each accepted or rejected, or all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

from pipeline.errors import UserError
from studio.service import Studio
from studio.ui.augment_card import review_table
from studio.ui.handlers import Caller

PAGE_ROWS = 20
_LISTS = (("All rows", ""), ("Waiting", "proposed"), ("Accepted", "accepted"), ("Rejected", "rejected"))
Decision = Literal["accepted", "rejected", "proposed"]
# A long list is read by another process.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class ReviewTable:
    """The table's components."""

    studio: Studio
    whole: gr.Column
    which: gr.Dropdown
    offset: gr.Number
    place: gr.HTML
    table: gr.HTML
    ticks: gr.CheckboxGroup
    back: gr.Button
    further: gr.Button
    add: gr.Button

    @property
    def outputs(self) -> list[Component]:
        """All that `show` and `hide` update."""
        shown = [self.offset, self.place, self.table, self.ticks, self.back, self.further, self.add]
        return [self.whole, *shown]  # type: ignore[list-item]

    def hide(self) -> dict[Any, Any]:
        """What takes the table away."""
        return {self.whole: gr.update(visible=False)}

    def read(self, job: str, owner: str, *, status: str = "", offset: int = 0) -> dict[str, Any]:
        """A page of the rows, the last one where there are not so many. Raises NotFound, Forbidden."""
        found = self.studio.augmentations.rows(job, owner=owner, status=status or None, offset=offset, limit=PAGE_ROWS)
        if not found["rows"] and offset:
            return self.read(job, owner, status=status, offset=max(0, offset - PAGE_ROWS))
        return {**found, "offset": offset}

    def show(self, found: Mapping[str, Any]) -> dict[Any, Any]:
        """What shows a page that was read."""
        offset: int = found["offset"]
        counts, rows, total = found["counts"], found["rows"], found["total"]
        added = counts["accepted"] + counts["edited"]
        last = offset + len(rows)
        words = f"Rows {offset + 1:,} to {last:,} of {total:,}. " if rows else ""
        decided = f"{counts['proposed']:,} wait, {added:,} accepted, {counts['rejected']:,} rejected."
        choices = [(f"No. {number}", row["id"]) for number, row in enumerate(rows, start=offset + 1)]
        return {
            self.whole: gr.update(visible=counts["generated"] > 0),
            self.offset: offset,
            self.place: f'<p class="lap-meta" role="status">{words}{decided}</p>',
            self.table: review_table(rows, offset=offset),
            self.ticks: gr.update(choices=choices, value=[], visible=bool(rows)),
            self.back: gr.update(interactive=offset > 0),
            self.further: gr.update(interactive=last < total),
            self.add: gr.update(interactive=added > 0, value=f"Add the accepted rows ({added:,})"),
        }


def build_review_table(studio: Studio, caller: Caller, made: gr.Textbox) -> ReviewTable:
    """Render the table of the job whose id stands in `made`; hidden until it is shown."""
    with gr.Column(visible=False, elem_id="augment-review") as whole:
        with gr.Row(elem_classes="lap-buttons"):
            accept_all = gr.Button("Accept all that wait", size="sm", elem_id="accept-all")
            reject_all = gr.Button("Reject all that wait", size="sm", elem_id="reject-all")
        which = gr.Dropdown(list(_LISTS), value="", label="Show", elem_id="review-list", interactive=True)
        place = gr.HTML(elem_id="review-place")
        table = gr.HTML(elem_id="review-table", apply_default_css=False, padding=False)
        with gr.Row(elem_classes="lap-buttons"):
            back = gr.Button("Previous rows", size="sm", elem_id="review-back")
            further = gr.Button("Next rows", size="sm", elem_id="review-next")
        ticks = gr.CheckboxGroup([], label="Rows of this page", elem_id="review-ticks")
        with gr.Row(elem_classes="lap-buttons"):
            accept = gr.Button("Accept the ticked", size="sm", elem_id="accept-ticked")
            reject = gr.Button("Reject the ticked", size="sm", elem_id="reject-ticked")
            undo = gr.Button("Take the decision back", size="sm", elem_id="undo-ticked")
        with gr.Row(elem_classes="lap-buttons"):
            add = gr.Button("Add the accepted rows", variant="primary", interactive=False, elem_id="add-accepted")
    offset = gr.Number(0, visible=False, precision=0)
    review = ReviewTable(studio, whole, which, offset, place, table, ticks, back, further, add)

    def turn(step: int) -> Any:
        def show_page(job: str, status: str, first: int, request: gr.Request) -> dict[Any, Any]:
            start = max(0, int(first) + step * PAGE_ROWS) if step else 0
            return review.show(review.read(job, caller.owner(request), status=status, offset=start))

        return show_page

    def decide(status: Decision, *, everything: bool) -> Any:
        def keep_decision(job: str, shown: str, first: int, ids: list[str], request: gr.Request) -> dict[Any, Any]:
            owner = caller.owner(request)
            try:
                studio.augmentations.decide(job, None if everything else ids, status, owner=owner)
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from error
            return review.show(review.read(job, owner, status=shown, offset=int(first)))

        return keep_decision

    outputs = review.outputs
    for button, step in ((back, -1), (further, 1)):
        button.click(turn(step), [made, which, offset], outputs, **_QUIET)
    which.input(turn(0), [made, which, offset], outputs, **_QUIET)
    for button, status, everything in (
        (accept, "accepted", False),
        (reject, "rejected", False),
        (undo, "proposed", False),
        (accept_all, "accepted", True),
        (reject_all, "rejected", True),
    ):
        chosen = decide(status, everything=everything)  # type: ignore[arg-type]
        button.click(chosen, [made, which, offset, ticks], outputs, **_QUIET)
    return review
