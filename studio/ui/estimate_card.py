"""What the pages show of an estimate: the memory as a bar against what is free, the verdict, the time and its price."""

from collections.abc import Iterable
from html import escape

from pipeline.estimate_history import EstimateHistory
from pipeline.estimates import PURPOSES, DeviceEstimate, Estimate, Fit, MemoryEstimate, TimeEstimate, Verdict
from pipeline.prices import HourlyPrice, cost
from studio.ui.estimate_errors import error_summary_html
from studio.ui.html import readable_size

_VERDICTS: dict[Verdict | None, tuple[str, str]] = {
    "fits": ("ok", "Fits"),
    "tight": ("warning", "May just fit"),
    "does_not_fit": ("error", "Does not fit"),
    None: ("info", "Memory not known"),
}
_OTHER = {"allocator": "Allocator", "context": "Libraries and driver"}
# Below this share of the bar a part is a sliver without a name.
_SLIVER = 0.002
WAITING = '<p class="lap-estimate__wait" role="status">Working out memory and time from one step of this run…</p>'


def estimate_card(
    estimate: Estimate, price: HourlyPrice | None, *, history: EstimateHistory, fit: Fit | None = None
) -> str:
    """Each device with its bar and its times; what was assumed; the configurations that were tried for size; and how
    far predictions were off in past runs."""
    devices = "".join(_device(found, price) for found in estimate.devices)
    seen = f"{estimate.seen_rows:,} rows read; " if estimate.seen_rows else ""
    facts = (
        f"{estimate.parameters:,} weights, {estimate.trainable_parameters:,} of them trained; {seen}the longest row "
        f"has {estimate.longest_tokens:,} tokens."
    )
    notes = "".join(f"<p>{escape(text)}</p>" for text in (facts, *estimate.assumptions))
    rest = f"{notes}{_tried(fit)}{error_summary_html(history)}"
    return f'<section class="lap-estimate" aria-label="Memory and time">{devices}{rest}</section>'


def fit_table(fit: Fit) -> str:
    """Every configuration that was tried for size, and what each costs."""
    rows = "".join(
        f"<tr{' data-chosen' if step.patch == fit.patch else ''}><td>{escape(step.label)}</td>"
        f"<td>{readable_size(step.total)}</td><td>{_step(step.step_seconds)}</td>"
        f"<td>{escape(_VERDICTS[step.verdict][1])}</td></tr>"
        for step in fit.steps
    )
    head = "<thead><tr><th>Tried</th><th>Memory</th><th>A step</th><th></th></tr></thead>"
    return f'<table class="lap-table lap-estimate__tried">{head}<tbody>{rows}</tbody></table>'


def _tried(fit: Fit | None) -> str:
    return "" if fit is None else fit_table(fit)


def _device(found: DeviceEstimate, price: HourlyPrice | None) -> str:
    kind, words = _VERDICTS[found.verdict]
    memory = found.memory
    needs = f"{readable_size(memory.total)}" + ("" if found.free is None else f" of {readable_size(found.free)} free")
    head = (
        f'<div class="lap-estimate__head"><strong>{escape(found.name[:1].upper() + found.name[1:])}</strong>'
        f'<span class="lap-estimate__verdict" data-verdict="{kind}">{words}</span><span>{needs}</span></div>'
    )
    peak = f"Between {readable_size(memory.low)} and {readable_size(memory.high)}, most {escape(memory.moment)}."
    return f"{head}{_bar(memory, found.free)}<p>{peak}</p>{_time(found.time, price)}"


def _bar(memory: MemoryEstimate, free: int | None) -> str:
    whole = max(memory.high, free or 0)
    parts = [(purpose, name, memory.by_purpose.get(purpose, 0)) for purpose, name in PURPOSES.items()]
    parts += [(key, name, getattr(memory, key)) for key, name in _OTHER.items()]
    shown = [(key, name, size) for key, name, size in parts if size / whole >= _SLIVER]
    pieces = "".join(
        f'<span class="lap-bar__part" data-purpose="{key}" style="width:{size / whole:.4%}" '
        f'title="{escape(name)}: {readable_size(size)}"></span>'
        for key, name, size in shown
    )
    limit = "" if free is None else f'<span class="lap-bar__limit" style="left:{min(free / whole, 1):.4%}"></span>'
    legend = "".join(
        f'<span><span class="lap-bar__key" data-purpose="{key}"></span>{escape(name)} '
        f"<b>{readable_size(size)}</b></span>"
        for key, name, size in parts
        if size
    )
    label = ", ".join(f"{name} {readable_size(size)}" for _, name, size in parts if size)
    bar = f'<div class="lap-bar" role="img" aria-label="{escape(label)}">{pieces}{limit}</div>'
    # The bar's own label says the same.
    return f'{bar}<div class="lap-bar__legend" aria-hidden="true">{legend}</div>'


def _time(time: TimeEstimate | None, price: HourlyPrice | None) -> str:
    if time is None:
        return ""
    pairs = [
        ("Whole run", f"about {duration(time.total_seconds)}, from {duration(time.low)} to {duration(time.high)}"),
        ("A step", f"{_step(time.step_seconds)}, {time.steps:,} of them"),
        ("Speed", f"{time.tokens_per_second:,.0f} tokens a second, {time.samples_per_second:,.1f} rows"),
    ]
    if price is not None:
        pairs.append(("Cost", f"{cost(time.total_seconds, price):,.2f} US dollars, {price.source}"))
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="lap-kv">{items}</dl><p>Speed {escape(time.rates)}.</p>'


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def _step(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:,.0f} ms"


def needs_fitting(estimates: Iterable[DeviceEstimate]) -> bool:
    """Whether every device whose memory is known has too little of it for sure or perhaps."""
    verdicts = [found.verdict for found in estimates if found.verdict is not None]
    return bool(verdicts) and "fits" not in verdicts
