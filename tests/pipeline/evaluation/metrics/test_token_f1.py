"""Token F1 is SQuAD's: its normalisation, its overlap, and the mean over answers."""

import pytest

from pipeline.evaluation.metrics.token_f1 import normalized, score


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("Denver Broncos", "Denver Broncos", 100),
        # Two of three words are right, and both words that are wanted are there: P = 2/3, R = 1.
        ("the brave Denver Broncos!", "Denver Broncos", 80),
        ("a cat", "The cat.", 100),
        ("dog", "cat", 0),
        # A word counts as often as both have it: P = 1/3, R = 1/2.
        ("no no no", "no way", 40),
        ("", "", 100),
        ("the", "", 100),
        ("", "cat", 0),
        ("cat", "", 0),
        ("in 1995", "1995", 200 / 3),
        # Scripts without blanks are compared by character: three of four, and three of three.
        ("北京市区", "北京市", 600 / 7),
        ("Größe: 3", "größe 3", 100),
    ],
)
def test_overlap_of_words(answer: str, right: str, expected: float) -> None:
    assert score([answer], [right])["f1"] == pytest.approx(expected)


def test_articles_and_punctuation_are_left_out() -> None:
    assert normalized("The U.S.A. and an (old) theatre") == ["usa", "and", "old", "theatre"]


def test_score_is_the_mean_over_answers() -> None:
    assert score(["cat", "dog"], ["cat", "cat"]) == {"f1": 50.0}
