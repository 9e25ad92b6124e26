"""What the page shows of rows that are made: before and after, the estimate, the progress, the rows to review."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

from pipeline.augment.outcome import BeforeAfter
from pipeline.augment_job import PreviewDocument
from studio.ui.html import callout, key_values, lines

# Comparing words takes time that grows with the square of their number.
_COMPARED_CHARACTERS = 3000
_PIECES = re.compile(r"\s+|\w+|[^\w\s]")
_STATUS = {
    "proposed": ("queued", "waiting"),
    "accepted": ("completed", "accepted"),
    "edited": ("completed", "accepted as edited"),
    "rejected": ("failed", "rejected"),
}
_REFUSALS = {
    "exact_copy": "exact copies",
    "empty": "empty",
    "missing": "missing from the answer",
    "surplus": "more than asked for",
    "not_json": "not in the form asked for",
    "cut_off": "cut off",
    "wrong_shape": "of the wrong shape",
    "changed_numbers": "with changed numbers",
    "no_evidence": "without evidence",
    "not_applicable": "not suited to the method",
    "nothing_to_alter": "with nothing to alter",
    "needs_system_turn": "that need their system turn",
    "no_text": "without text",
    "request_failed": "whose request failed",
}


def preview_card(shown: PreviewDocument, *, per_minute: int | None) -> str:
    """Some rows before and after, and what all of them would cost."""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(item.made_from))}</th><td>{_shown(item)}</td></tr>' for item in shown.rows
    )
    head = '<thead><tr><th scope="col">Made from</th><th scope="col">Before and after</th></tr></thead>'
    table = f'<table class="lap-table lap-diff">{head}<tbody>{rows}</tbody></table>'
    if not shown.rows:
        table = callout("warning", "Nothing to show", "No training row suits this method. Choose another one.")
    return (
        f'<section class="lap-card lap-stack" data-preview aria-label="Rows before and after">{table}'
        f"{key_values(_estimate(shown, per_minute=per_minute))}</section>"
    )


def progress_card(job: Mapping[str, Any], *, what: str) -> str:
    """How far the making of rows is."""
    percent = round(100 * job["progress"])
    known = job["state"] == "running" and percent > 0
    bar = f'<progress class="lap-progress" max="100"{f" value={percent}" if known else ""}>{percent} %</progress>'
    message = escape(job["message"] or "Waiting for its turn")
    return f'<div class="lap-card" role="status"><p>{escape(what)}</p>{bar}<p class="lap-meta">{message}</p></div>'


def outcome_card(job: Mapping[str, Any], counts: Mapping[str, Any]) -> str:
    """What became of the making of rows: what was made, what was refused and why, what it used."""
    made = f"{_rows(counts['generated'])} made."
    refused = [f"{count:,} {_REFUSALS[kind]}" for kind, count in counts["refused"].items()]
    made += f" Refused: {', '.join(refused)}." if refused else ""
    if counts["requests"]:
        requests = "1 request" if counts["requests"] == 1 else f"{counts['requests']:,} requests"
        used = f"{requests}, {counts['input_tokens']:,} tokens sent"
        cost = f", {job['counts']['cost']:.4f} US dollars" if "cost" in job["counts"] else ""
        made += f" Used: {used}, {counts['output_tokens']:,} received{cost}."
    if job["state"] == "completed":
        return callout("ok", "The rows wait for your decision", made)
    if job["state"] == "cancelled":
        return callout("warning", "Cancelled", f"{made} What was made is kept, and can be gone on from.")
    sentence = job["error"]["message"] if job["error"] else "The process ended without a word."
    return callout("error", "Not all rows could be made", f"{sentence} {made}")


def review_table(rows: Sequence[Mapping[str, Any]], *, offset: int) -> str:
    """Rows that were made, with what they were made from and what was decided."""
    if not rows:
        return '<div class="lap-empty"><h2>No rows here</h2><p>Choose another list above.</p></div>'
    body = "".join(
        f'<tr><th scope="row" class="lap-num">{number}</th><td data-label="Made from">{escape(row["from"])}</td>'
        f'<td data-label="Method">{escape(row["method"].replace("_", " "))}</td>'
        f'<td data-label="Text">{_change(row["before"], row["row"])}</td>'
        f'<td data-label="Decision">{_badge(row["status"])}</td></tr>'
        for number, row in enumerate(rows, start=offset + 1)
    )
    names = ("No.", "Made from", "Method", "Text", "Decision")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<div class="lap-card lap-card--flush"><table class="lap-table lap-diff">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def difference(before: str, after: str) -> str:
    """The second text, with what it lost of the first marked as deleted and what is new marked as inserted."""
    old, new = _PIECES.findall(_cut(before)), _PIECES.findall(_cut(after))
    shown = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            shown.append(lines("".join(new[c:d])))
            continue
        shown += [f"<{tag}>{lines(text)}</{tag}>" for tag, text in _marked("".join(old[a:b]), "".join(new[c:d]))]
    return "".join(shown)


def text_of(row: Mapping[str, Any]) -> str:
    """A row in standard columns as text, a turn a line."""
    parts = []
    for column, value in row.items():
        if isinstance(value, list) and value and all(isinstance(turn, dict) and "role" in turn for turn in value):
            name = "" if column in ("messages", "prompt") else f"{column}, "
            parts += [f"{name}{_turn(turn)}" for turn in value]
        else:
            parts.append(value if column == "text" else f"{column}: {value}")
    return "\n".join(parts)


def _marked(old: str, new: str) -> Iterator[tuple[str, str]]:
    if old:
        yield "del", old
    if new:
        yield "ins", new


def _shown(item: BeforeAfter) -> str:
    if item.after is not None:
        return _change(item.before, item.after)
    reason = "" if item.refused is None else item.refused.reason
    return f'<span class="lap-badge" data-state="failed">not made</span> {escape(reason)}.'


def _change(before: Sequence[Mapping[str, Any]], after: Mapping[str, Any]) -> str:
    if len(before) == 1 and before[0].keys() == after.keys():
        return difference(text_of(before[0]), text_of(after))
    # Several rows, or a passage, are what a new row is like or about; there is nothing to mark in them.
    source = "<br><br>".join(lines(_cut(text_of(row))) for row in before)
    shown = f"<details><summary>What it was made from</summary>{source}</details>" if source else ""
    return f"<ins>{lines(_cut(text_of(after)))}</ins>{shown}"


def _turn(turn: Mapping[str, Any]) -> str:
    content = turn.get("content", "")
    if isinstance(content, list):
        content = "".join(piece.get("text", "[image]") for piece in content)
    return f"{turn['role']}: {content}"


def _estimate(shown: PreviewDocument, *, per_minute: int | None) -> list[tuple[str, str]]:
    estimate = shown.estimate
    unsuited = f"; {estimate.not_applicable:,} do not suit the method" if estimate.not_applicable else ""
    others = f"; {_rows(shown.other_rows)} for evaluation, never used" if shown.other_rows else ""
    pairs = [
        ("Training rows", f"{shown.training_rows:,}{others}"),
        ("All of it makes", f"{_rows(estimate.rows)} at most{unsuited}"),
    ]
    if per_minute is None or not estimate.requests:
        return [*pairs, ("Cost", "none, nothing is sent")]
    tokens = f"{estimate.input_tokens:,} tokens sent, {estimate.output_tokens:,} received"
    cost = "unknown: give the prices to see it" if estimate.cost is None else f"about {estimate.cost:.4f} US dollars"
    least = estimate.minutes_at_rate_limit
    minutes = "less than a minute" if least < 1 else f"at least {least:,.1f} minutes"
    return [
        *pairs,
        ("Requests", f"{estimate.requests:,}, about {tokens} ({estimate.tokens_counted_by})"),
        ("Cost", cost),
        ("Time", f"{minutes} at {per_minute:,} requests a minute"),
    ]


def _badge(status: str) -> str:
    state, words = _STATUS[status]
    return f'<span class="lap-badge" data-state="{state}">{words}</span>'


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _cut(text: str) -> str:
    return text if len(text) <= _COMPARED_CHARACTERS else f"{text[:_COMPARED_CHARACTERS]}…"
