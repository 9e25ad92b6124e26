"""Exact match: the share of answers that are the right answer, letter by letter."""

from collections.abc import Sequence


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`exact_match`: blanks and line breaks at the ends do not count, everything else does."""
    pairs = zip(answers, references, strict=True)
    return {"exact_match": 100 * sum(answer.strip() == right.strip() for answer, right in pairs) / len(answers)}
