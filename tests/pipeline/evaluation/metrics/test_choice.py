"""Scores that suit the right answers."""

import pytest

from pipeline.evaluation.metrics import METRICS, compute
from pipeline.evaluation.metrics.choice import suitable_metrics
from pipeline.training_config import METRIC_NAMES

SENTENCE = "The opal has four carats, and the jasper has five of them, as the jeweller in Antwerp told us yesterday."


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (['{"stone": "opal"}'] * 19 + ["none"], ("json", "exact_match")),
        (['{"stone": "opal"}', "none"], ("exact_match", "f1")),
        (["4", "12", "7"], ("exact_match", "f1")),
        (["Denver Broncos", "Paris", SENTENCE], ("exact_match", "f1")),
        ([SENTENCE, SENTENCE, "Paris"], ("rouge", "chrf")),
        (["今日は良い天気ですから散歩に行きました"], ("rouge", "chrf")),
    ],
)
def test_scores_follow_the_right_answers(references: list[str], expected: tuple[str, ...]) -> None:
    assert suitable_metrics(references) == expected


def test_every_name_has_its_score() -> None:
    assert set(METRICS) == set(METRIC_NAMES)
    values = compute(METRIC_NAMES, ['{"a": 1}', "x"], ['{"a": 1}', "y"])
    assert set(values) == {
        *("exact_match", "f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf", "json_valid", "json_equal")
    }
    assert all(0 <= value <= 100 for value in values.values())
    perfect = compute(METRIC_NAMES, ['{"a": 1, "b": 2}'] * 2, ['{"a": 1, "b": 2}'] * 2)
    assert {name: round(value, 3) for name, value in perfect.items()} == dict.fromkeys(perfect, 100.0)
