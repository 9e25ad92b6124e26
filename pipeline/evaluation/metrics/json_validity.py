"""JSON: whether answers are JSON at all, and whether they say the same as the right ones."""

import json
from collections.abc import Sequence
from typing import Any

_NO_JSON = object()


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`json_valid`: the share of answers that are JSON, without a word around it; `json_equal`: the share with the
    same values as the right answer, in whatever order and layout."""
    parsed = [(parse(answer), parse(right)) for answer, right in zip(answers, references, strict=True)]
    valid = sum(answer is not _NO_JSON for answer, _ in parsed)
    equal = sum(_equal(answer, right) for answer, right in parsed)
    return {"json_valid": 100 * valid / len(parsed), "json_equal": 100 * equal / len(parsed)}


def is_json_object(text: str) -> bool:
    """Whether the text is an object or a list in JSON; every number is JSON, too."""
    return isinstance(parse(text), dict | list)


def parse(text: str) -> Any:
    """The value that the text stands for, or a mark that is equal to nothing else."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NO_JSON


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, but true is not 1, as Python has it."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _equal(answer: Any, right: Any) -> bool:
    try:
        return answer is not _NO_JSON and same(answer, right)
    except RecursionError:
        return False


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
