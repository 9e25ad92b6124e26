"""Exact match counts answers that are right letter by letter."""

from pipeline.evaluation.metrics.exact_match import score


def test_blanks_at_the_ends_do_not_count_and_all_else_does() -> None:
    answers = ["Paris", " Paris\n", "paris", "Paris.", "Pa ris"]
    assert score(answers, ["Paris"] * 5) == {"exact_match": 40.0}
