"""Reads what a model wrote: the list that was asked for, its texts, and rows of questions and answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.augment.outcome import Refused
from pipeline.data.example import Row

# A model that opens more brackets than this wrote no JSON; each one is tried, and a hostile text has millions.
_MOST_BRACKETS = 200
_END_OF_THOUGHTS = "</think>"
_OPENING = re.compile(r"[\[{]")
# Models put real line feeds into strings, which strict JSON forbids.
_DECODER = json.JSONDecoder(strict=False)


class NoJson(Exception):
    """There is no JSON of the wanted shape; the text says what was there, without a full stop."""


def find_items(text: str, name: str) -> list[Any]:
    """The list called `name` in the first JSON that has one; a bare list is taken for it.

    Code fences, thoughts up to `</think>` and words around the JSON are passed over.

    Raises:
        NoJson: there is none.
    """
    if not text.strip():
        raise NoJson("the answer is empty")
    found_json = False
    for value in _documents(text.rpartition(_END_OF_THOUGHTS)[2]):
        found_json = True
        if isinstance(value, dict) and isinstance(value.get(name), list):
            return list(value[name])
        if isinstance(value, list) and value:
            return value
    raise NoJson(f"the JSON of the answer has no list called {name}" if found_json else "the answer holds no JSON")


def clean_text(value: Any) -> str | Refused:
    """The text without white space around it; refused where it is none."""
    if not isinstance(value, str):
        return Refused.because("wrong_shape", "a text is missing or is no text", text=value)
    if not value.strip():
        return Refused.because("empty", "a text is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        return Refused.because("wrong_shape", "a text holds half of a character", text=ascii(value))
    return value.strip()


def conversation_row(prompt: Any, answer: Any, *, system: str = "") -> Row | Refused:
    """A row of one question and one answer; refused where either is no text."""
    question, reply = clean_text(prompt), clean_text(answer)
    if isinstance(question, Refused):
        return question
    if isinstance(reply, Refused):
        return reply
    turns = [{"role": "system", "content": system}] if system else []
    return {"messages": [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": reply}]}


def _documents(text: str) -> Iterator[Any]:
    position, tried = 0, 0
    while tried < _MOST_BRACKETS and (opening := _OPENING.search(text, position)):
        tried += 1
        try:
            value, position = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            position = opening.end()
        else:
            yield value
