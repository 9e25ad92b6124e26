"""ROUGE: values worked out by hand, and by an implementation written from the definition."""

import random

import pytest

from pipeline.evaluation.metrics.rouge import score


def f_measure(shared: int, given: int, wanted: int) -> float:
    return 200 * shared / (given + wanted) if given + wanted else 0.0


def common_subsequence(one: list[str], other: list[str]) -> int:
    if not one or not other:
        return 0
    if one[-1] == other[-1]:
        return 1 + common_subsequence(one[:-1], other[:-1])
    return max(common_subsequence(one[:-1], other), common_subsequence(one, other[:-1]))


def test_values_worked_out_by_hand() -> None:
    """Lin's example: of "the gunman kill police" two words are in order with "police killed the gunman"."""
    values = score(["the gunman kill police"], ["police killed the gunman"])
    assert values == {
        "rouge1": pytest.approx(f_measure(3, 4, 4)),
        "rouge2": pytest.approx(f_measure(1, 3, 3)),
        "rougeL": pytest.approx(f_measure(2, 4, 4)),
    }


def test_longest_common_subsequence_of_random_words() -> None:
    draw = random.Random(5)
    for _ in range(20):
        one, other = ([draw.choice("abcd") for _ in range(draw.randint(1, 8))] for _ in range(2))
        expected = f_measure(common_subsequence(one, other), len(one), len(other))
        assert score([" ".join(one)], [" ".join(other)])["rougeL"] == pytest.approx(expected, abs=1e-4)


def test_case_and_punctuation_do_not_count_and_answers_are_averaged() -> None:
    assert score(["A cat, sitting!", "x"], ["a cat sitting", "y"])["rouge2"] == pytest.approx(50)


@pytest.mark.parametrize("text", ["Добрый день, мир", "今日は良い天気です", "สวัสดีชาวโลก", "नमस्ते दुनिया कैसे हो"])
def test_other_scripts_count(text: str) -> None:
    assert score([text], [text])["rougeL"] == pytest.approx(100)
    assert score([text], ["other words"])["rougeL"] == 0
    assert 0 < score([text], [text[: len(text) // 2 + 1]])["rouge1"] < 100


def test_no_answer_scores_nothing() -> None:
    assert set(score([""], ["a cat"]).values()) == {0.0}
