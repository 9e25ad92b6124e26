"""The Data page: every data set with its state, a search, one of them in full, and its deletion."""

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import gradio as gr

from db.models import Dataset, Job
from pipeline.data_config import DatasetConfig
from pipeline.errors import UserError
from studio.auth import Authenticator
from studio.datasets import SHARED_OWNER
from studio.service import Studio
from studio.ui.augment_box import build_augment_box
from studio.ui.dataset_card import SHAPE_WORDS, dataset_card, unrecognised_card
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout, key_values, readable_size
from studio.ui.import_box import build_import_box
from studio.ui.shell import page_header

_CLEANABLE = (
    ("Exact duplicates", "duplicate_rows"),
    ("Near duplicates", "near_duplicate_rows"),
    ("Rows that cannot be used", "unusable_rows"),
    ("Evaluation rows that are trained on too", "evaluation_overlap"),
)
_OPEN = "(id) => { if (id) window.location.assign('/data?id=' + encodeURIComponent(id)) }"
_OPEN_LIST = "(gone) => { if (gone) window.location.assign('/data') }"


def build_data_page(demo: gr.Blocks, studio: Studio, authenticator: Authenticator) -> None:
    """Render the page. `?id=` opens one data set."""
    caller, registry = Caller(authenticator), studio.registry
    chosen = gr.Textbox(visible=False)
    with gr.Column(elem_classes="lap-page"):
        page_header("Data", "What you have brought in, what it holds, and what is wrong with it.")
        notice = gr.HTML(elem_id="data-notice")
        with gr.Column(visible=False) as listing:
            with gr.Accordion("Bring in another", open=False):
                box = build_import_box(studio, caller)
            search = gr.Textbox(label="Search", placeholder="Name, description or source", elem_id="data-search")
            table = gr.HTML(elem_id="data-table", apply_default_css=False, padding=False)
        with gr.Column(visible=False) as detail:
            card = gr.HTML(elem_id="data-card")
            with gr.Row():
                description = gr.Textbox(label="Description", max_lines=3, elem_id="data-description")
                tags = gr.Textbox(label="Tags", info="Separated by commas.", max_lines=1, elem_id="data-tags")
            with gr.Row(elem_classes="lap-buttons"):
                save = gr.Button("Save description and tags", elem_id="save-description")
            with gr.Accordion("A cleaned copy", open=False):
                gr.HTML('<p class="lap-meta">The rows as they are, without those that you take out here.</p>')
                drop = gr.CheckboxGroup(list(_CLEANABLE), label="Take out", value=["duplicate_rows"], elem_id="clean")
                clean_link = gr.HTML(elem_id="clean-link")
            augment = build_augment_box(studio, caller, chosen)
            with gr.Row(elem_classes="lap-buttons"):
                ask = gr.Button("Delete this data set…", variant="secondary", elem_id="delete-dataset")
            with gr.Column(visible=False) as confirmation:
                question = gr.HTML(elem_id="delete-question")
                with gr.Row(elem_classes="lap-buttons"):
                    keep = gr.Button("Keep it", variant="secondary", elem_id="keep-dataset")
                    delete = gr.Button("Delete it", variant="stop", elem_id="confirm-delete-dataset")
    gone = gr.Textbox(visible=False)

    def show_list(request: gr.Request, words: str = "") -> str:
        found, _ = registry.datasets(owner=caller.owner(request), search=words)
        return dataset_table(found)

    def open_page(request: gr.Request) -> dict[Any, Any]:
        owner, identifier = caller.owner(request), request.query_params.get("id")
        if identifier is None:
            shown = {listing: gr.update(visible=True), table: show_list(request)}
            return shown | box.resume(studio, owner)
        try:
            dataset = registry.dataset(identifier, owner=owner)
        except UserError as error:
            return {notice: callout("error", "This data set cannot be shown", str(error))}
        own = dataset.owner != SHARED_OWNER
        return {
            chosen: identifier,
            card: _detail(studio, dataset, owner),
            detail: gr.update(visible=True),
            description: gr.update(value=dataset.description, interactive=own),
            tags: gr.update(value=", ".join(dataset.tags), interactive=own),
            save: gr.update(visible=own),
            ask: gr.update(visible=own),
            clean_link: clean_address(identifier, ["duplicate_rows"]),
            **augment.resume(identifier, owner),
        }

    def save_words(identifier: str, words: str, labels: str, request: gr.Request) -> str:
        try:
            registry.describe(
                identifier, owner=caller.owner(request), description=words, tags=(labels or "").split(",")
            )
        except UserError as error:
            return callout("error", "Not saved", str(error))
        return callout("ok", "Saved", "The data set can be found by these words.")

    def ask_deletion(identifier: str, request: gr.Request) -> dict[Any, Any]:
        owner = caller.owner(request)
        dataset = registry.dataset(identifier, owner=owner)
        used = registry.used_by(identifier, owner=owner)
        return {
            question: callout("warning", f"Delete {dataset.name}?", deletion_words(dataset, used)),
            confirmation: gr.update(visible=True),
        }

    def delete_it(identifier: str, request: gr.Request) -> dict[Any, Any]:
        try:
            registry.delete(identifier, owner=caller.owner(request))
        except UserError as error:
            return {question: callout("error", "Nothing was deleted", str(error)), gone: ""}
        return {gone: identifier}

    demo.load(
        open_page,
        None,
        [notice, listing, table, detail, chosen, card, description, tags, save, ask, clean_link, *box.outputs]
        + [augment.accordion, *augment.outputs],
        **QUIET,
    )
    search.input(show_list, search, table, trigger_mode="always_last", **QUIET)
    box.finished.change(None, box.finished, js=_OPEN)
    save.click(save_words, [chosen, description, tags], notice, **QUIET)
    drop.input(clean_address, [chosen, drop], clean_link, **QUIET)
    ask.click(ask_deletion, chosen, [question, confirmation], **QUIET)
    keep.click(lambda: gr.update(visible=False), None, confirmation, **QUIET)
    delete.click(delete_it, chosen, [question, gone], **QUIET).then(None, gone, js=_OPEN_LIST)


def dataset_table(found: Sequence[Dataset]) -> str:
    """Data sets, the newest first."""
    if not found:
        text = "Drop a file above, or try other words."
        return f'<div class="lap-empty"><h2>No data set</h2><p>{text}</p></div>'
    rows = "".join(
        f'<tr><th scope="row" class="lap-table__main"><a class="lap-link" href="/data?id={quote(data.id)}">'
        f"{escape(data.name)}{f' v{data.version}' if data.version > 1 else ''}</a></th>"
        f'<td data-label="Shape">{escape(SHAPE_WORDS.get(data.format, "Not recognised"))}</td>'
        f'<td data-label="Rows" class="lap-num">{data.num_samples:,}</td>'
        f'<td data-label="Size" class="lap-num">{readable_size(data.size_bytes)}</td>'
        f'<td data-label="Checked">{_checked(data)}</td>'
        f'<td data-label="Tags"><span>{"".join(_tag(tag) for tag in data.tags)}</span></td></tr>'
        for data in found
    )
    heads = "".join(
        f'<th scope="col"{" class=lap-num" if head in ("Rows", "Size") else ""}>{head}</th>'
        for head in ("Name", "Shape", "Rows", "Size", "Checked", "Tags")
    )
    return (
        '<div class="lap-card lap-card--flush"><table class="lap-table">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def clean_address(identifier: str, drop: list[str]) -> str:
    """The link to a cleaned copy."""
    if not drop:
        return '<p class="lap-meta">Choose what to take out.</p>'
    address = f"/api/datasets/{quote(identifier)}/cleaned?drop={quote(','.join(drop))}"
    return f'<a class="lap-link" href="{escape(address)}" download>Download the cleaned copy</a>'


def deletion_words(dataset: Dataset, used: Sequence[Job]) -> str:
    """What deleting a data set means."""
    size = f"{readable_size(dataset.size_bytes)} are freed. It cannot be brought back from here."
    if not used:
        return f"No run has used it. {size}"
    names = ", ".join(job.name for job in used[:5]) + (", …" if len(used) > 5 else "")
    return f"Used by {len(used)} run{'s' if len(used) > 1 else ''}: {names}. Their results stay. {size}"


def _detail(studio: Studio, dataset: Dataset, owner: str) -> str:
    facts = key_values(
        [
            ("Source", dataset.source),
            ("Version", str(dataset.version)),
            ("Fingerprint", dataset.checksum[:16]),
            ("Brought in", f"{dataset.created_at:%d %B %Y, %H:%M} UTC"),
            ("Id", dataset.id),
        ]
    )
    use = f'<a class="lap-button lap-button--primary" href="/new?data={quote(dataset.id)}">Train on it</a>'
    head = f'<div class="lap-card lap-dataset">{facts}<div class="lap-cluster">{use}</div></div><br>'
    try:
        found = studio.registry.inspect(DatasetConfig(path=dataset.path), owner=owner)
    except UserError as error:
        if dataset.recognition is None:
            return head + unrecognised_card(studio.registry.databench.describe(dataset.path), str(error))
        return head + callout("error", "This data set cannot be used", str(error))
    return head + dataset_card(found, dataset)


def _checked(data: Dataset) -> str:
    if not data.integrity_checked:
        return '<span class="lap-badge" data-state="queued">not checked</span>'
    if not data.integrity_passed:
        return '<span class="lap-badge" data-state="failed">errors</span>'
    unusable = data.num_samples - data.usable_samples
    words = f"{unusable:,} left out" if unusable else "ready"
    return f'<span class="lap-badge" data-state="completed">{words}</span>'


def _tag(tag: str) -> str:
    return f'<span class="lap-tag">{escape(tag)}</span> '
