"""What the pages show of a data set: what it was taken for, its numbers, its findings, a sample, and its tokens."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from db.models import Dataset
from pipeline.data.inspection import Inspection
from studio.ui.histogram import histogram
from studio.ui.html import callout, key_values, lines

SHAPE_WORDS = {
    "messages": "Conversations",
    "prompt_completion": "Prompt and completion",
    "text": "Plain text",
    "preference": "Preference pairs",
    "unpaired_preference": "Answers marked good or bad",
    "prompt_only": "Prompts for rewards",
}
_CUT = 700
_ROWS_NAMED = 8
_SURE = 0.8


def dataset_card(found: Inspection, dataset: Dataset | None) -> str:
    """The whole card of a data set that can be used."""
    return "".join(
        (
            '<section class="lap-card lap-dataset" aria-label="The data set as it was read">',
            _headline(found, dataset),
            key_values(_numbers(found)),
            histogram(dataset.integrity_report["histogram"])
            if dataset is not None and dataset.integrity_checked
            else "",
            "" if dataset is None else finding_list(dataset),
            _dropped_list(found),
            '<h3 class="lap-meta">The first rows, as they are learned from</h3>',
            "".join(sample(example) for example in found.samples),
            "</section>",
        )
    )


def unrecognised_card(description: Mapping[str, Any], reason: str) -> str:
    """A data set whose columns mean nothing to the studio: what is in them, to map them by hand."""
    rows = "".join(
        f'<p class="lap-meta">Row {item["row"]}</p>'
        + key_values((str(name), _short(str(value))) for name, value in item["values"].items())
        for item in description["samples"]
    )
    return callout("warning", "Say which column is what", reason) + f'<div class="lap-card lap-stack">{rows}</div>'


def finding_list(dataset: Dataset) -> str:
    """What the integrity check found, with the numbers of the rows and all of them to download."""
    report = dataset.integrity_report
    if not dataset.integrity_checked:
        return callout("info", "Not checked yet", "The rows are checked when the data set is imported.")
    findings = report.get("findings", [])
    if not findings:
        return callout("ok", "Nothing to complain about", f"All {dataset.num_samples:,} rows were checked.")
    address = f"/api/datasets/{dataset.id}/flags"
    link = f'<a class="lap-link" href="{address}" download>Download the list of these rows</a>'
    return f'{_findings(findings)}<p class="lap-meta">{link}</p>'


def length_card(report: Mapping[str, Any]) -> str:
    """Every row's length in tokens, what would be cut, and what no token of would be learned."""
    limit = "as you set it" if report["max_length_from"] == "setting" else "from the rows"
    pairs = [
        ("Tokens", f"{report['tokens']:,}, of which {report['trained_tokens']:,} are trained on"),
        ("Longest row kept", f"{report['max_length']:,} tokens ({limit})"),
        ("Cut off", f"{_rows(report['truncated_rows'])} ({report['truncated_share']:.1%})"),
        ("Nothing to learn", _rows(report["untrained_rows"]) if report["untrained_rows"] else "none"),
    ]
    return histogram(report["histogram"]) + key_values(pairs) + _findings(report["findings"])


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(
        f'<li class="lap-finding" data-severity="{escape(finding["severity"])}">'
        f'<div class="lap-finding__head">{escape(_title(finding))} '
        f'<code class="lap-code">{escape(finding["code"])}</code></div>'
        f'<div class="lap-finding__detail">{escape(finding["message"])}{_named_rows(finding)}</div></li>'
        for finding in findings
    )
    return f'<ul class="lap-findings">{items}</ul>' if items else ""


def transfer_card(transfer: Mapping[str, Any]) -> str:
    """How far an import is, or how it ended."""
    if transfer["state"] in ("failed", "interrupted"):
        sentence = (transfer["error"] or {}).get("message", "The import ended without a word. Try it again.")
        return callout("error", "This data set cannot be used", sentence)
    if transfer["state"] in ("cancelled", "stopping"):
        return callout("warning", "Import cancelled", "Nothing was taken in. What was fetched is kept for a while.")
    percent = round(100 * transfer["progress"])
    known = transfer["state"] == "running" and percent > 0
    bar = f'<progress class="lap-progress" max="100"{f" value={percent}" if known else ""}>{percent} %</progress>'
    words = [transfer["message"] or "Waiting for its turn", *_pace(transfer)]
    text = escape(" · ".join(words))
    name = escape(transfer["name"])
    return f'<div class="lap-card" role="status"><p>{name}</p>{bar}<p class="lap-meta">{text}</p></div>'


def token_card(sequences: Sequence[Mapping[str, Any]]) -> str:
    """Rows as tokens: what is trained on is marked, what is cut off is struck through, ids show on hover."""
    legend = (
        '<p class="lap-meta lap-tokens__legend"><span data-trained>trained on</span> <span>only read</span> '
        "<span data-truncated>cut off</span></p>"
    )
    return legend + "".join(_sequence(item, alone=len(sequences) == 1) for item in sequences)


def sample(example: Mapping[str, Any]) -> str:
    """One example, turn by turn."""
    turns = [("text", example["text"])] if example.get("text") is not None else []
    turns += [_turn(turn) for turn in example.get("messages") or ()]
    for name in ("chosen", "rejected"):
        turns += [(name, turn["content"]) for turn in example.get(name) or ()]
    if example.get("label") is not None:
        turns.append(("label", "good" if example["label"] else "bad"))
    rows = "".join(f"<div><dt>{escape(role)}</dt><dd>{lines(_short(content))}</dd></div>" for role, content in turns)
    return f'<div class="lap-sample"><p class="lap-meta">Row {example["row"]:,}</p><dl class="lap-kv">{rows}</dl></div>'


def _headline(found: Inspection, dataset: Dataset | None) -> str:
    version = f" · version {dataset.version}" if dataset is not None and dataset.version > 1 else ""
    sure = f"{found.confidence:.0%} sure" if found.shape != "custom" else "columns named by hand"
    shape = f"{SHAPE_WORDS[found.format]} ({found.shape.replace('_', ' ')})"
    state = "completed" if found.confidence >= _SURE else "starting"
    reasons = " ".join(found.reasons)
    return (
        f'<div class="lap-cluster"><strong>{escape(found.name)}{escape(version)}</strong>'
        f'<span class="lap-badge" data-state="{state}" data-ready>{escape(shape)} · {sure}</span></div>'
        f'<p class="lap-meta">{escape(reasons)}</p>'
    )


def _numbers(found: Inspection) -> list[tuple[str, str]]:
    splits = ", ".join(f"{name} {rows:,}" for name, rows in found.splits.items())
    return [
        ("Usable rows", f"{found.usable_rows:,} of {found.rows:,}"),
        ("Left out", _rows(found.dropped_rows) if found.dropped_rows else "none"),
        ("Splits", splits),
        ("Trained on", _rows(found.train_rows)),
        ("Held out", f"{_rows(found.eval_rows)} ({found.eval_source})" if found.eval_rows else "none"),
    ]


def _dropped_list(found: Inspection) -> str:
    items = "".join(f"<li>Row {item.row:,}: {escape(item.reason)}</li>" for item in found.dropped[:_ROWS_NAMED])
    return f'<ul class="lap-meta">{items}</ul>' if items else ""


def _title(finding: Mapping[str, Any]) -> str:
    count = finding["count"]
    return _rows(count) if count else "The whole data set"


def _named_rows(finding: Mapping[str, Any]) -> str:
    rows = finding["rows"][:_ROWS_NAMED]
    named = ", ".join(f"{row:,}" for row in rows)
    return f' <span class="lap-num">{"Row" if len(rows) == 1 else "Rows"} {named}.</span>' if rows else ""


def _pace(transfer: Mapping[str, Any]) -> Iterable[str]:
    if transfer["bytes_per_second"] and transfer["stage"] in ("fetching", "reading"):
        yield f"{transfer['bytes_per_second'] / 1e6:.1f} MB/s"
    if transfer["eta_seconds"]:
        yield f"{transfer['eta_seconds']:.0f} s left"


def _turn(turn: Mapping[str, Any]) -> tuple[str, str]:
    calls = "".join(f"\n→ {call}" for call in turn.get("tool_calls") or ())
    images = "".join(f"\n[image {image}]" for image in turn.get("images") or ())
    return turn["role"], f"{turn['content']}{calls}{images}"


def _sequence(sequence: Mapping[str, Any], *, alone: bool) -> str:
    counts = sequence["counts"]
    cut = f", {counts['truncated']:,} cut off" if counts["truncated"] else ""
    title = "" if alone else f"{sequence['title'].capitalize()}: "
    head = f'<p class="lap-meta">{escape(title)}{counts["all"]:,} tokens, {counts["trained"]:,} trained on{cut}</p>'
    return f'{head}<div class="lap-tokens" tabindex="0">{"".join(map(_token, sequence["tokens"]))}</div>'


def _token(token: Mapping[str, Any]) -> str:
    marks = {"trained": " data-trained", "truncated": " data-truncated", "context": ""}[token["state"]]
    special = " data-special" if token["special"] else ""
    shown = escape(token["text"].replace("\r", "␍"))
    return f'<span title="id {token["id"]}"{marks}{special}>{shown.replace(chr(10), "↵" + chr(10))}</span>'


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _short(text: str) -> str:
    return text if len(text) <= _CUT else f"{text[:_CUT]}…"
