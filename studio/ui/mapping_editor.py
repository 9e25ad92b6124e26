"""Mapping by hand: one line of text for each role, with columns in braces."""

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from pipeline.data.mapping import ColumnPart, Conversation, ImagePart, Mapping, Part, TemplatePart, TextPart
from pipeline.errors import DataProblem
from studio.ui.dataset_card import SHAPE_WORDS

_ROLES_OF = {
    "messages": ("conversation",),
    "prompt_completion": ("system", "prompt", "completion"),
    "text": ("text",),
    "preference": ("prompt", "chosen", "rejected"),
    "unpaired_preference": ("prompt", "completion", "label"),
    "prompt_only": ("system", "prompt"),
}
_ROLES = ("conversation", "system", "prompt", "completion", "chosen", "rejected", "text", "label")
_LABELS = {
    "conversation": ("Conversation", "Column with the list of turns."),
    "system": ("System", "What stands before every conversation; may stay empty."),
    "prompt": ("Prompt", "What the user says: text with columns in braces, such as {instruction}."),
    "completion": ("Completion", "What the model is to answer: text with columns in braces."),
    "chosen": ("Chosen", "The better answer."),
    "rejected": ("Rejected", "The worse answer."),
    "text": ("Text", "The text to learn: columns in braces."),
    "label": ("Label", "Column that says whether the answer is good."),
}
_COLUMN_ONLY = ("conversation", "label")


@dataclass(frozen=True)
class MappingEditor:
    """The editor's components."""

    format: gr.Dropdown
    roles: dict[str, gr.Textbox]
    images: gr.Textbox
    columns: gr.HTML
    save: gr.Button

    @property
    def inputs(self) -> list[Component]:
        """What `read` takes, in its order."""
        return [self.format, *self.roles.values(), self.images]

    @property
    def outputs(self) -> list[Component]:
        """All components that `show` updates."""
        return [*self.inputs, self.columns]

    def show(self, mapping: Mapping | None, columns: list[str]) -> dict[Component, Any]:
        """Fill the editor with a mapping; without one, with a guess at the format only."""
        chosen = "prompt_completion" if mapping is None else mapping.format
        texts = {} if mapping is None else templates_of(mapping)
        shown: dict[Component, Any] = {
            self.format: chosen,
            self.images: "" if mapping is None else images_of(mapping),
            self.columns: _column_list(columns),
        }
        for role, box in self.roles.items():
            shown[box] = gr.update(value=texts.get(role, ""), visible=role in _ROLES_OF[chosen])
        return shown

    def read(self, *values: str) -> Mapping:
        """The mapping that the inputs describe. Raises DataProblem where a role is missing."""
        chosen, *texts, images = values
        return mapping_from(chosen, dict(zip(self.roles, texts, strict=True)), images=images)


def build_mapping_editor() -> MappingEditor:
    """Render the editor."""
    columns = gr.HTML()
    choices = [(words, name) for name, words in SHAPE_WORDS.items()]
    kind = gr.Dropdown(
        choices, value="prompt_completion", label="What a row becomes", elem_id="mapping-format", interactive=True
    )
    roles = {
        role: gr.Textbox(
            label=_LABELS[role][0],
            info=_LABELS[role][1],
            lines=1,
            max_lines=6,
            visible=role in _ROLES_OF["prompt_completion"],
            elem_id=f"mapping-{role}",
        )
        for role in _ROLES
    }
    images = gr.Textbox(
        label="Images", info="Column with the image or images; empty for none.", max_lines=1, elem_id="mapping-images"
    )
    with gr.Row(elem_classes="lap-buttons"):
        save = gr.Button("Use these columns", variant="primary", size="sm", elem_id="save-mapping")

    def follow(chosen: str) -> list[Any]:
        return [gr.update(visible=role in _ROLES_OF[chosen]) for role in roles]

    kind.input(follow, kind, list(roles.values()), queue=False, show_progress="hidden", api_visibility="private")
    return MappingEditor(kind, roles, images, columns, save)


def mapping_from(chosen: str, texts: AbstractMapping[str, str], *, images: str = "") -> Mapping:
    """The mapping of a format that these texts describe. Raises DataProblem where a role is missing."""
    wanted = {role: texts.get(role, "") for role in _ROLES_OF[chosen]}
    needed = [role for role in wanted if role != "system" and not (chosen == "preference" and role == "prompt")]
    missing = [_LABELS[role][0] for role in needed if not wanted[role].strip()]
    if missing:
        raise DataProblem(f"Fill in {' and '.join(missing)}: write a column in braces, such as {{answer}}.")
    document: dict[str, Any] = {"format": chosen}
    for role, text in wanted.items():
        if role == "conversation":
            document[role] = Conversation(column=_bare(text))
        elif role == "label":
            document[role] = _bare(text)
        elif text.strip():
            document[role] = (_part(text),)
    if images.strip():
        key = "images" if chosen == "messages" else "prompt"
        image = ImagePart(column=_bare(images))
        document[key] = _bare(images) if key == "images" else (image, *document.get("prompt", ()))
    return Mapping.model_validate(document)


def templates_of(mapping: Mapping) -> dict[str, str]:
    """The texts that describe a mapping."""
    texts = {
        role: "".join(map(_template, getattr(mapping, role)))
        for role in ("system", "prompt", "completion", "chosen", "rejected", "text")
    }
    texts["conversation"] = "" if mapping.conversation is None else mapping.conversation.column
    texts["label"] = mapping.label or ""
    return texts


def images_of(mapping: Mapping) -> str:
    """The column of the images, if there is one."""
    parts = (*mapping.prompt, *mapping.system, *mapping.completion, *mapping.chosen)
    return mapping.images or next((part.column for part in parts if isinstance(part, ImagePart)), "")


def _part(text: str) -> Part:
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}") and inner.count("{") == 1 and inner == text:
        return ColumnPart(column=inner[1:-1])
    return TemplatePart(template=text) if "{" in text else TextPart(text=text)


def _template(part: Part) -> str:
    match part:
        case ColumnPart():
            return f"{{{part.column}}}"
        case TemplatePart():
            return part.template
        case TextPart():
            return part.text
        case ImagePart():
            return ""


def _bare(text: str) -> str:
    return text.strip().removeprefix("{").removesuffix("}").strip()


def _column_list(columns: list[str]) -> str:
    names = " ".join(f'<code class="lap-code">{{{escape(name)}}}</code>' for name in columns[:60])
    return f'<p class="lap-meta">Columns: {names}</p>' if columns else ""
