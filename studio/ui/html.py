"""Small pieces of HTML for the wizard. Every piece of text goes through `escape`."""

from collections.abc import Iterable, Sequence
from html import escape

from pipeline.checks.finding import Finding
from pipeline.data_formats import Example, ExampleSet
from pipeline.errors import Problem

_SAMPLES_SHOWN = 2
_SAMPLE_CHARACTERS = 700
_DROPPED_SHOWN = 8


def callout(kind: str, title: str, text: str) -> str:
    """A box that says something: `kind` is error, warning, info or ok."""
    role = "alert" if kind == "error" else "status"
    head = f'<div class="lap-callout__head">{escape(title)}</div>'
    return f'<div class="lap-{kind}" role="{role}">{head}<p>{_lines(text)}</p></div>'


def problem_list(problems: Iterable[Problem]) -> str:
    """The problems of a step, each with its field."""
    items = "".join(
        f"<li><strong>{escape(field_label(problem.field))}</strong> {escape(problem.message)}</li>"
        for problem in problems
    )
    head = '<div class="lap-callout__head">Please correct this first</div>'
    return f'<div class="lap-error" role="alert">{head}<ul>{items}</ul></div>'


def finding_list(findings: Sequence[Finding]) -> str:
    """What preflight found, errors first; a green line when there is nothing to say."""
    if not findings:
        return callout("ok", "Ready to start", "All checks passed.")
    items = "".join(
        f'<li class="lap-finding" data-severity="{finding.severity}">'
        f'<div class="lap-finding__head">{escape(field_label(finding.field))} '
        f'<code class="lap-code">{escape(finding.code)}</code></div>'
        f'<div class="lap-finding__detail">{escape(finding.message)}</div></li>'
        for finding in findings
    )
    return f'<ul class="lap-findings">{items}</ul>'


def key_values(pairs: Iterable[tuple[str, str]]) -> str:
    """A definition list."""
    rows = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in pairs)
    return f'<dl class="lap-kv">{rows}</dl>'


def dataset_preview(found: ExampleSet) -> str:
    """Format, counts, the rows left out, and the first conversations."""
    layout = found.layout
    shape = {
        "messages": "Conversations (messages)",
        "prompt_completion": f"Question and answer ({layout.prompt_column} → {layout.completion_column})",
        "text": "Plain text",
    }[layout.format]
    facts = key_values(
        [("Recognised as", shape), ("Usable rows", f"{len(found.examples):,}"), ("Left out", _dropped(found))]
    )
    samples = "".join(_sample(example) for example in found.examples[:_SAMPLES_SHOWN])
    listed = "".join(f"<li>Row {item.row}: {escape(item.reason)}</li>" for item in found.dropped[:_DROPPED_SHOWN])
    dropped = f'<ul class="lap-meta">{listed}</ul>' if listed else ""
    return f'<div class="lap-card">{facts}{dropped}{samples}</div>'


def field_label(path: str) -> str:
    """The name of a field for people."""
    return path.rsplit(".", 1)[-1].replace("_", " ").capitalize() if path else "This configuration"


def _dropped(found: ExampleSet) -> str:
    return f"{len(found.dropped):,} rows" if found.dropped else "none"


def _sample(example: Example) -> str:
    turns = [("text", example.text or "")] if example.messages is None else []
    turns += [(message.role, message.content) for message in example.messages or ()]
    rows = "".join(f"<div><dt>{escape(role)}</dt><dd>{_lines(_cut(content))}</dd></div>" for role, content in turns)
    return f'<p class="lap-meta">Row {example.row}</p><dl class="lap-kv">{rows}</dl>'


def _cut(text: str) -> str:
    return text if len(text) <= _SAMPLE_CHARACTERS else f"{text[:_SAMPLE_CHARACTERS]}…"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
