"""Small pieces of HTML for the wizard. Every piece of text goes through `escape`."""

from collections.abc import Iterable, Sequence
from html import escape

from pipeline.checks.finding import Finding
from pipeline.errors import Problem


def callout(kind: str, title: str, text: str) -> str:
    """A box that says something: `kind` is error, warning, info or ok."""
    role = "alert" if kind == "error" else "status"
    head = f'<div class="lap-callout__head">{escape(title)}</div>'
    return f'<div class="lap-{kind}" role="{role}">{head}<p>{lines(text)}</p></div>'


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


def readable_size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} bytes"


def field_label(path: str) -> str:
    """The name of a field for people, as the pages have it."""
    if path == "dataset.path":
        return "Data set"
    return path.rsplit(".", 1)[-1].replace("_", " ").capitalize() if path else "This configuration"


def lines(text: str) -> str:
    """Escaped text that keeps its line breaks."""
    return escape(text).replace("\n", "<br>")
