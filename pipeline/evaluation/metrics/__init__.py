"""Scores of answers against right answers, a module each, from 0 to 100 as their literature reports them.

To add a score: write `score(answers, references) -> {name: value}` in a module here, add it to METRICS and its name to
`MetricName`, and test it on answers whose score is known.
"""

from collections.abc import Callable, Sequence

from pipeline.evaluation.metrics import bleu, chrf, exact_match, json_validity, rouge, token_f1
from pipeline.training_config import MetricName

Metric = Callable[[Sequence[str], Sequence[str]], dict[str, float]]

METRICS: dict[MetricName, Metric] = {
    "exact_match": exact_match.score,
    "f1": token_f1.score,
    "rouge": rouge.score,
    "bleu": bleu.score,
    "chrf": chrf.score,
    "json": json_validity.score,
}


def compute(names: Sequence[MetricName], answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The values of all named scores, over at least one answer."""
    return {name: value for metric in names for name, value in METRICS[metric](answers, references).items()}
