"""The Settings page: the caller's stored keys by name, a form to save one, and their deletion."""

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from pydantic import SecretStr

from pipeline.errors import InvalidConfig, UserError
from studio.auth import Authenticator
from studio.key_rules import KNOWN_NAMES
from studio.keys import Keys, StoredSecret
from studio.ui.handlers import QUIET, Caller
from studio.ui.html import callout, problem_list
from studio.ui.shell import page_header
from studio.views import iso

# Run in the browser, which would else offer or keep the user's own password: Gradio cannot say that it is another one.
_NO_AUTOFILL = "() => document.querySelector('#key-value input')?.setAttribute('autocomplete', 'new-password')"
# Run in the browser when the button that had the focus is hidden: Gradio leaves the focus on the body.
_FOCUS = "() => requestAnimationFrame(() => document.querySelector('#{}')?.focus())"


def build_settings_page(demo: gr.Blocks, keys: Keys, authenticator: Authenticator) -> None:
    """Render the page. A value goes from the password box to the store; no handler returns one."""
    caller = Caller(authenticator)
    with gr.Column(elem_classes="lap-page"):
        page_header("Settings", "Keys of services that your runs and imports use.")
        table = gr.HTML(elem_id="stored-keys", apply_default_css=False, padding=False)
        with gr.Row():
            name = gr.Dropdown(
                [(f"{known} · {purpose}", known) for known, purpose in KNOWN_NAMES.items()],
                value="HF_TOKEN",
                label="Name",
                info="As the service's own library calls it. Choose one or type another.",
                allow_custom_value=True,
                elem_id="key-name",
            )
            value = gr.Textbox(
                label="Value",
                info="Saving one of the same name replaces it.",
                type="password",
                elem_id="key-value",
            )
        with gr.Row(elem_classes="lap-buttons"):
            save = gr.Button("Save key", variant="primary", elem_id="save-key")
        notice = gr.HTML(elem_id="settings-notice")
        with gr.Row(visible=False) as deletion:
            doomed = gr.Dropdown([], label="Stored key to delete", elem_id="key-to-delete")
        with gr.Row(visible=False, elem_classes="lap-buttons") as ask_row:
            ask = gr.Button("Delete key…", variant="secondary", elem_id="delete-key")
        with gr.Column(visible=False, elem_id="confirm-deletion") as confirmation:
            question = gr.HTML()
            with gr.Row(elem_classes="lap-buttons"):
                keep = gr.Button("Keep it", variant="secondary", elem_id="keep-key")
                delete = gr.Button("Delete it", variant="stop", elem_id="confirm-delete-key")
        gr.HTML(callout("info", "Where your keys are", where_keys_are(keys.place)))

    def show(owner: str, said: str) -> dict[Any, Any]:
        """The page as it is after something was done: lists anew, nothing to confirm."""
        stored = keys.list_secrets(owner=owner)
        names = [secret.name for secret in stored]
        return {
            notice: said,
            table: key_table(stored),
            doomed: gr.update(choices=names, value=names[0] if names else None),
            deletion: gr.update(visible=bool(names)),
            ask_row: gr.update(visible=bool(names)),
            confirmation: gr.update(visible=False),
        }

    def open_page(request: gr.Request) -> dict[Any, Any]:
        return show(caller.owner(request), "")

    def save_key(chosen: str | None, secret: str | None, request: gr.Request) -> dict[Any, Any]:
        owner = caller.owner(request)
        try:
            saved = keys.save_secret((chosen or "").strip(), SecretStr(secret or ""), owner=owner)
        except InvalidConfig as error:
            return {notice: problem_list(error.problems)}
        except UserError as error:
            return {notice: callout("error", "The key was not saved", str(error))}
        text = f"{saved.name} is stored. Processes that start from now on can use it."
        return show(owner, callout("ok", "Saved", text)) | {value: ""}

    def ask_deletion(chosen: str | None) -> dict[Any, Any]:
        text = "Runs and imports that start later go without it. It cannot be brought back from here."
        return {
            question: callout("warning", f"Delete {chosen}?", text),
            confirmation: gr.update(visible=chosen is not None),
            ask_row: gr.update(visible=False),
        }

    def keep_key() -> dict[Any, Any]:
        return {confirmation: gr.update(visible=False), ask_row: gr.update(visible=True)}

    def delete_key(chosen: str | None, request: gr.Request) -> dict[Any, Any]:
        owner = caller.owner(request)
        try:
            keys.delete_secret(chosen or "", owner=owner)
        except UserError as error:
            return show(owner, callout("error", "Nothing was deleted", str(error)))
        return show(owner, callout("ok", "Deleted", f"{chosen} is no longer stored."))

    shown = [notice, table, doomed, deletion, ask_row, confirmation]
    demo.load(open_page, None, shown, **QUIET).then(None, js=_NO_AUTOFILL)
    gr.on([save.click, value.submit], save_key, [name, value], [*shown, value], **QUIET)
    ask.click(ask_deletion, doomed, [question, confirmation, ask_row], **QUIET).then(None, js=_FOCUS.format("keep-key"))
    doomed.input(keep_key, None, [confirmation, ask_row], **QUIET)
    keep.click(keep_key, None, [confirmation, ask_row], **QUIET).then(None, js=_FOCUS.format("delete-key"))
    delete.click(delete_key, doomed, shown, **QUIET)


def key_table(stored: Sequence[StoredSecret]) -> str:
    """Stored keys by name, with their last characters and the date they were saved."""
    if not stored:
        text = "A token of Hugging Face opens private and gated models and data sets."
        return f'<div class="lap-empty"><h2>No key is stored</h2><p>{text}</p></div>'
    rows = "".join(
        f'<tr><th scope="row" class="lap-table__main">{escape(secret.name)}</th>'
        f'<td data-label="Ends with"><span class="lap-code">{escape(_ending(secret))}</span></td>'
        f'<td data-label="Saved"><time datetime="{iso(secret.updated_at)}">{secret.updated_at:%d %B %Y, %H:%M} UTC'
        f'</time></td><td data-label="State">{"Ready" if secret.is_readable else _UNREADABLE}</td></tr>'
        for secret in stored
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Name", "Ends with", "Saved", "State"))
    return (
        '<div class="lap-card lap-card--flush"><table class="lap-table">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


_UNREADABLE = '<span class="lap-badge" data-state="failed">Cannot be read: save it again</span>'


def where_keys_are(place: str) -> str:
    """Where and how keys are stored, for people. `place` says where the key is that encrypts them."""
    return (
        "Each key is encrypted (AES-128 with HMAC-SHA256) before it is written to the studio's database. The key that "
        f"encrypts is in {place}. Whoever has that and the database can read your keys; when it is lost, they have to "
        "be saved again. A key is handed to those processes of your own runs and imports that need it, in their "
        "environment. It is never shown again, except for the last four characters of a long one.\n"
        "Google Cloud takes a file instead: set GOOGLE_APPLICATION_CREDENTIALS to its path where the studio is started."
    )


def _ending(secret: StoredSecret) -> str:
    return f"…{secret.last_four}" if secret.last_four else "not shown"
