"""Which parts of a text may be altered without making an answer wrong, and which must stay as they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.augment.example_turns import answer_texts
from pipeline.data.example import Example

# Code, placeholders, tags and quotations are to be copied as they stand.
_QUOTED = re.compile(r"```.*?```|`[^`\n]*`|\{[^{}\n]*\}|<[^<>\n]*>|\"[^\"\n]*\"|“[^“”\n]*”", re.DOTALL)
_RUN = re.compile(r"\S+")
# A run of characters with one of these is a number, a path, an address or a name in a program.
_MEANS_WHAT_IT_SPELLS = re.compile(r"[\d_/\\@#]")
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_ADDRESS_SIGNS = ("://", "@")


@dataclass(frozen=True)
class Stretch:
    """A piece of a text, and whether it may be altered."""

    text: str
    is_free: bool


def repeated_words(example: Example) -> frozenset[str]:
    """The words of the answers, in small letters: a question that spells one otherwise would teach to correct it."""
    return frozenset(word.casefold() for text in answer_texts(example) for word in _WORD.findall(text))


def stretches_of(text: str, fixed_words: frozenset[str]) -> list[Stretch]:
    """The text in pieces that give it when put together; words are pieces of their own, and fixed where listed."""
    stretches: list[Stretch] = []
    position = 0
    for start, end in _fixed_spans(text):
        stretches += _words(text[position:start], fixed_words)
        stretches.append(Stretch(text[start:end], is_free=False))
        position = end
    stretches += _words(text[position:], fixed_words)
    return [stretch for stretch in stretches if stretch.text]


def numbers_in(text: str) -> set[str]:
    """The numbers of a text as they are written."""
    return set(_NUMBER.findall(text))


def facts_in(text: str) -> set[str]:
    """Numbers, web addresses and mail addresses."""
    words = (word.strip(".,;:!?()[]<>\"'") for word in text.split())
    return numbers_in(text) | {word for word in words if any(sign in word for sign in _ADDRESS_SIGNS)}


def _fixed_spans(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    for quoted in _QUOTED.finditer(text):
        yield from _fixed_runs(text, position, quoted.start())
        yield quoted.span()
        position = quoted.end()
    yield from _fixed_runs(text, position, len(text))


def _fixed_runs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for run in _RUN.finditer(text, start, end):
        if _MEANS_WHAT_IT_SPELLS.search(run.group()):
            yield run.span()


def _words(text: str, fixed_words: frozenset[str]) -> Iterator[Stretch]:
    position = 0
    for match in _WORD.finditer(text):
        yield Stretch(text[position : match.start()], is_free=True)
        yield Stretch(match.group(), is_free=match.group().casefold() not in fixed_words)
        position = match.end()
    yield Stretch(text[position:], is_free=True)
