"""Cuts a text into passages on the borders of paragraphs, sentences or words, by character offsets."""

import re
from bisect import bisect_left

# From the coarsest border to the finest; a passage ends after the match. Ideographic stops need no space after them.
_BORDERS = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"(?:[.!?…][\"')\]”’»]*\s+|[。！？]\s*)"),
    re.compile(r"\s+"),
)
# A coarse border is taken only in the second half of a passage; an earlier one would leave it too short to ask about.
_SHORTEST_SHARE = 0.5


def chunk_spans(text: str, *, size: int, overlap: int) -> list[tuple[int, int]]:
    """Start and end of each passage, in order: at most `size` characters, none empty, without white space around.

    Every character that is not white space lies in a passage. A passage begins at most `overlap` characters before
    the end of the one before it, where a sentence or a word begins.
    """
    borders = [[match.end() for match in border.finditer(text)] for border in _BORDERS]
    spans: list[tuple[int, int]] = []
    start = _skip_space(text, 0)
    while start < len(text):
        cut = len(text) if len(text) - start <= size else _cut_between(borders, start, start + size)
        end = start + len(text[start:cut].rstrip())
        spans.append((start, end))
        following = _skip_space(text, cut)
        if following >= len(text):
            break
        start = _start_of_overlap(text, borders, end - overlap, end, after=start) if overlap else following
    return spans


def _cut_between(borders: list[list[int]], start: int, limit: int) -> int:
    earliest = start + (limit - start) * _SHORTEST_SHARE
    for positions in borders:
        index = bisect_left(positions, limit + 1) - 1
        if index >= 0 and positions[index] > earliest:
            return positions[index]
    return limit


def _start_of_overlap(text: str, borders: list[list[int]], low: int, high: int, *, after: int) -> int:
    low = max(low, after + 1)
    for positions in borders[1:]:
        index = bisect_left(positions, low)
        if index < len(positions) and positions[index] < high:
            return positions[index]
    return _skip_space(text, high)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
