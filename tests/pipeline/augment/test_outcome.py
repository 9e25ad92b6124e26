import pytest

from pipeline.augment.outcome import MadeFrom, Outcome, Refused


@pytest.mark.parametrize(
    ("made_from", "text"),
    [
        (MadeFrom(rows=(12,)), "row 12"),
        (MadeFrom(rows=(3, 17, 40)), "rows 3, 17 and 40"),
        (MadeFrom(document="a.txt"), "a.txt"),
        (MadeFrom(document="a.pdf", pages=(3, 4), start=10, end=20), "a.pdf, pages 3 and 4"),
    ],
)
def test_origin_is_said_in_words(made_from: MadeFrom, text: str) -> None:
    assert str(made_from) == text


def test_refusal_shows_the_beginning_of_what_was_refused() -> None:
    assert Refused.because("not_json", "the answer holds no JSON", text="x" * 9000).text == "x" * 500


def test_outcome_survives_its_file() -> None:
    outcome = Outcome(request="r", method="case", made_from=MadeFrom(rows=(1,)), rows=({"text": "ä\u2028\n"},))
    line = outcome.model_dump_json()
    assert "\n" not in line
    assert Outcome.model_validate_json(line) == outcome
