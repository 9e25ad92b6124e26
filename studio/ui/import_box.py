"""The box that brings a data set in: drop, paste, name a Hub data set or an address; progress; cancel and retry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from db.states import RESTING, JobState
from pipeline.data.sources import SUPPORTED_SUFFIXES
from pipeline.errors import UserError
from studio.service import Studio
from studio.ui.dataset_card import transfer_card
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout
from studio.views import transfer_view

_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class ImportBox:
    """The box's components. `finished` holds the id of the data set that was imported last; listen to its change."""

    transfer: gr.Textbox
    finished: gr.Textbox
    progress: gr.HTML
    timer: gr.Timer
    cancel: gr.Button
    retry: gr.Button

    def resume(self, studio: Studio, owner: str) -> dict[Component, Any]:
        """What shows an import that goes on, after the page was loaded anew."""
        found, _ = studio.registry.transfers(owner=owner, limit=1)
        if not found or found[0].state in RESTING:
            return {}
        return self.follow(found[0].id, transfer_card(transfer_view(found[0])))

    def follow(self, transfer: str, card: str) -> dict[Component, Any]:
        """What shows an import from now on."""
        return {
            self.transfer: transfer,
            self.progress: card,
            self.timer: gr.Timer(active=True),
            self.cancel: gr.update(visible=True),
            self.retry: gr.update(visible=False),
        }

    @property
    def outputs(self) -> list[Component]:
        """All components that `follow` updates."""
        return [self.transfer, self.progress, self.timer, self.cancel, self.retry]


def build_import_box(studio: Studio, caller: Caller) -> ImportBox:
    """Render the box."""
    registry = studio.registry
    with gr.Tabs(elem_id="import-tabs"):
        with gr.Tab("Upload"):
            upload = gr.File(
                label=f"Drop a file here ({', '.join(SUPPORTED_SUFFIXES)})",
                file_count="single",
                elem_id="dataset-upload",
                height=140,
            )
        with gr.Tab("Paste"):
            pasted = gr.Textbox(
                label="Rows",
                lines=5,
                max_lines=12,
                placeholder='{"prompt": "…", "completion": "…"}',
                info="JSON lines, a JSON list, or a table with a header line.",
                elem_id="dataset-paste",
            )
            paste_name = gr.Textbox(label="Name", value="pasted", max_lines=1, elem_id="dataset-paste-name")
            with gr.Row(elem_classes="lap-buttons"):
                paste = gr.Button("Import these rows", elem_id="import-paste")
        with gr.Tab("Hugging Face"):
            hub_id = gr.Textbox(
                label="Id", placeholder="owner/name", max_lines=1, info="Its id on the Hub.", elem_id="hub-id"
            )
            with gr.Row(elem_classes="lap-buttons"):
                look = gr.Button("Look it up", elem_id="hub-look-up")
            hub_card = gr.HTML()
            with gr.Row(visible=False) as chooser:
                subset = gr.Dropdown([], label="Subset", elem_id="hub-subset")
                splits = gr.Dropdown(
                    [], multiselect=True, label="Splits", info="Empty for all of them.", elem_id="hub-splits"
                )
                limit = gr.Number(
                    value=None, precision=0, label="First rows only", info="Empty for all.", elem_id="hub-limit"
                )
            with gr.Row(elem_classes="lap-buttons"):
                fetch = gr.Button("Import from the Hub", visible=False, elem_id="import-hub")
        with gr.Tab("Path or address"):
            address = gr.Textbox(
                label="Where the rows are",
                placeholder="/data/rows.jsonl, https://…, s3://bucket/rows.parquet",
                info="A file or folder on the studio's machine, or an address: https, s3, gs.",
                max_lines=1,
                elem_id="dataset-address",
            )
            with gr.Row(elem_classes="lap-buttons"):
                take = gr.Button("Import from here", elem_id="import-address")
    progress = gr.HTML(elem_id="import-progress")
    with gr.Row(elem_classes="lap-buttons"):
        cancel = gr.Button("Cancel the import", visible=False, size="sm", elem_id="cancel-import")
        retry = gr.Button("Try again", visible=False, size="sm", elem_id="retry-import")
    transfer = gr.Textbox(visible=False)
    finished = gr.Textbox(visible=False)
    timer = gr.Timer(_TICK_SECONDS, active=False)
    box = ImportBox(transfer, finished, progress, timer, cancel, retry)

    def begin(start: Callable[[], Any]) -> dict[Component, Any]:
        try:
            job = start()
        except UserError as error:
            shown = callout("error", "This data set cannot be used", str(error))
            return {progress: shown, retry: gr.update(visible=False)}
        return box.follow(job.id, transfer_card(transfer_view(job)))

    def take_file(file: str | None, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        if file is None:
            return {}
        return begin(lambda: registry.import_upload(Path(file), name=Path(file).name, owner=owner)) | {upload: None}

    def take_text(text: str, name: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return begin(lambda: registry.import_text(text, name=name, owner=owner))

    def look_up(repository: str, request: gr.Request) -> dict[Component, Any]:
        try:
            found = registry.describe_hub(repository.strip(), owner=caller.owner(request))
        except UserError as error:
            return {
                hub_card: callout("error", "This data set cannot be used", str(error)),
                chooser: gr.update(visible=False),
                fetch: gr.update(visible=False),
            }
        subsets, chosen = list(found["subsets"]), found["default_subset"]
        names = list(found["subsets"].get(chosen, {}))
        return {
            hub_card: callout("info", found["id"], hub_words(found)),
            chooser: gr.update(visible=True),
            subset: gr.update(choices=subsets, value=chosen),
            splits: gr.update(choices=names, value=[]),
            fetch: gr.update(visible=True),
        }

    def choose_subset(repository: str, chosen: str, request: gr.Request) -> Any:
        found = registry.describe_hub(repository.strip(), owner=caller.owner(request))
        return gr.update(choices=list(found["subsets"].get(chosen, {})), value=[])

    def take_hub(
        repository: str, chosen: str | None, names: list[str], first: int | None, request: gr.Request
    ) -> dict[Component, Any]:
        owner = caller.owner(request)
        wanted = {"source": repository.strip(), "subset": chosen, "splits": names or [], "max_rows": first or None}
        return begin(lambda: registry.import_source(wanted, owner=owner))

    def take_address(where: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return begin(lambda: registry.import_source({"source": where}, owner=owner))

    def watch(identifier: str, request: gr.Request) -> dict[Component, Any]:
        job = registry.transfer(identifier, owner=caller.owner(request))
        shown = transfer_view(job)
        if job.state not in RESTING:
            return {progress: transfer_card(shown)}
        done = job.state == JobState.COMPLETED
        return {
            progress: "" if done else transfer_card(shown),
            timer: gr.Timer(active=False),
            cancel: gr.update(visible=False),
            retry: gr.update(visible=not done),
            finished: shown["dataset_id"] if done else "",
        }

    def stop(identifier: str, request: gr.Request) -> None:
        try:
            studio.cancel(identifier, owner=caller.owner(request))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def again(identifier: str, request: gr.Request) -> dict[Component, Any]:
        owner = caller.owner(request)
        return begin(lambda: registry.retry(identifier, owner=owner))

    shown = box.outputs
    upload.upload(take_file, upload, [*shown, upload], api_visibility="private", show_progress="minimal")
    paste.click(take_text, [pasted, paste_name], shown, **QUIET)
    gr.on([look.click, hub_id.submit], look_up, hub_id, [hub_card, chooser, subset, splits, fetch], **_SLOW)
    subset.input(choose_subset, [hub_id, subset], splits, **_SLOW)
    fetch.click(take_hub, [hub_id, subset, splits, limit], shown, **QUIET)
    gr.on([take.click, address.submit], take_address, address, shown, **QUIET)
    timer.tick(watch, transfer, [*shown, finished], **QUIET)
    cancel.click(stop, transfer, None, **QUIET)
    retry.click(again, transfer, shown, **QUIET)
    return box


# A look at the Hub takes a second or more.
_SLOW: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def hub_words(found: dict[str, Any]) -> str:
    """What is known of a Hub data set before anything is fetched."""
    size = f"{found['size_bytes'] / 1e6:,.1f} MB" if found.get("size_bytes") else "of unknown size"
    access = "gated: accept its terms on the Hub first" if found.get("gated") else "open"
    if found.get("private"):
        access = "private"
    licence = found.get("licence") or "not stated"
    count = len(found["subsets"])
    return f"{size}, {count} subset{'s' if count != 1 else ''}, access {access}, licence {licence}."
