"""Lengths of rows as bars, with the limit at which they are cut."""

from collections.abc import Mapping
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 480, 72


def histogram(lengths: Mapping[str, Any]) -> str:
    """The figure of a length histogram, as the integrity report has it; nothing where there are no rows."""
    counts, edges = lengths["counts"], lengths["edges"]
    if not counts:
        return ""
    most, width = max(counts), _WIDTH / len(counts)
    bars = "".join(_bar(index, count, edges, most=most, width=width) for index, count in enumerate(counts))
    words = _words(lengths)
    return (
        f'<figure class="lap-histogram"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(words)}" '
        f'preserveAspectRatio="none">{bars}{_limit(lengths)}</svg>'
        f"<figcaption><span>{edges[0]:,}</span><span>{escape(words)}</span><span>{edges[-1]:,}</span></figcaption></figure>"
    )


def _bar(index: int, count: int, edges: list[int], *, most: int, width: float) -> str:
    height = 0.0 if count == 0 else max(1.0, _HEIGHT * count / most)
    title = f"{edges[index]:,} to {edges[index + 1]:,}: {count:,} rows"
    return (
        f'<rect x="{index * width + 0.5:.1f}" y="{_HEIGHT - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}">'
        f"<title>{title}</title></rect>"
    )


def _limit(lengths: Mapping[str, Any]) -> str:
    cutoff, edges = lengths["cutoff"], lengths["edges"]
    if cutoff is None or not edges[0] < cutoff < edges[-1]:
        return ""
    bar = next(index for index in range(len(edges) - 1) if edges[index] <= cutoff < edges[index + 1])
    within = (cutoff - edges[bar]) / (edges[bar + 1] - edges[bar])
    x = (bar + within) * _WIDTH / (len(edges) - 1)
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"><title>cut after {cutoff:,}</title></line>'


def _words(lengths: Mapping[str, Any]) -> str:
    shares = lengths["percentiles"]
    words = f"{lengths['unit']} a row: half up to {shares['p50']:,}, 95 % up to {shares['p95']:,}"
    if lengths["over_cutoff"]:
        words += f", {lengths['over_cutoff']:,} rows over the limit of {lengths['cutoff']:,}"
    return words
