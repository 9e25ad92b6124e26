"""Chooses the scores that suit the right answers."""

from collections.abc import Sequence
from statistics import median

from pipeline.evaluation.metrics.json_validity import is_json_object
from pipeline.evaluation.metrics.words import words
from pipeline.training_config import MetricName

# Answers of SQuAD have three words on average; of a sentence, shared words say little about whether it is right.
_SHORT_WORDS = 8
_SHARE_OF_JSON = 0.9


def suitable_metrics(references: Sequence[str]) -> tuple[MetricName, ...]:
    """Exact ones for JSON, exact and by word for short answers, by overlap for long ones."""
    if sum(map(is_json_object, references)) >= _SHARE_OF_JSON * len(references):
        return ("json", "exact_match")
    if median(len(words(reference)) for reference in references) <= _SHORT_WORDS:
        return ("exact_match", "f1")
    return ("rouge", "chrf")
