"""BLEU and chrF against values worked out from their definitions."""

import math

import pytest

from pipeline.evaluation.metrics import bleu, chrf

ANSWER, RIGHT = "the quick brown fox jumps over a lazy dog", "the quick brown fox jumps over the lazy dog"


def test_bleu_is_the_geometric_mean_of_shared_runs() -> None:
    """Nine words each; of 9, 8, 7, 6 runs of one to four words 8, 6, 4, 3 are shared."""
    expected = 100 * (8 / 9 * 6 / 8 * 4 / 7 * 3 / 6) ** 0.25
    assert bleu.score([ANSWER], [RIGHT]) == {"bleu": pytest.approx(expected)}


def test_bleu_of_short_answers_is_lowered() -> None:
    answer = "the quick brown fox"
    assert bleu.score([answer], [RIGHT])["bleu"] == pytest.approx(100 * math.exp(1 - 9 / 4))


def test_bleu_counts_over_all_answers_together() -> None:
    both = bleu.score([ANSWER, "entirely other words here"], [RIGHT, "nothing of that is found"])["bleu"]
    expected = 100 * (8 / 13 * 6 / 11 * 4 / 9 * 3 / 7) ** 0.25 * math.exp(1 - 14 / 13)
    assert both == pytest.approx(expected)


def test_chrf_weighs_recall_twice() -> None:
    """Of "cat" and "cats": runs of 1, 2, 3 letters, P = 1, R = 3/4, 2/3, 1/2; longer runs are not in both."""
    recall = (3 / 4 + 2 / 3 + 1 / 2) / 3
    assert chrf.score(["cat"], ["cats"])["chrf"] == pytest.approx(100 * 5 * recall / (4 + recall))
    assert chrf.score(["cats"], ["cats"])["chrf"] == pytest.approx(100)
    assert chrf.score(["dog"], ["cats"])["chrf"] == 0


def test_no_answer_scores_nothing() -> None:
    assert bleu.score([""], [RIGHT])["bleu"] == 0
    assert chrf.score([""], [RIGHT])["chrf"] == 0
