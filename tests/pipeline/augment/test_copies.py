from pipeline.augment.copies import KnownRows
from pipeline.augment.outcome import MadeFrom, Outcome
from pipeline.augment.rows import row_key, row_of
from pipeline.data.example import Row
from tests.pipeline.augment.material import conversation


def proposal(*rows: Row, request: str = "r1") -> Outcome:
    return Outcome(request=request, method="paraphrase", made_from=MadeFrom(rows=(7,)), rows=rows)


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [refusal.reason for outcome in outcomes for refusal in outcome.refused]


OLD, NEW = row_of(conversation("Why?", "So.")), row_of(conversation("How?", "Thus."))


def test_copy_of_a_training_row_is_refused_by_its_first_number() -> None:
    known = KnownRows([conversation("Why?", "So.", row=12), conversation("Why?", "So.", row=40)], {})
    (outcome,) = known.refuse_copies([proposal(OLD, NEW)])
    assert outcome.rows == (NEW,)
    assert reasons([outcome]) == ["exact copy of row 12"]


def test_copy_that_differs_in_white_space_only_is_refused() -> None:
    known = KnownRows([conversation("Why?", "So.", row=12)], {})
    (outcome,) = known.refuse_copies([proposal(row_of(conversation(" Why?\n", "So. ")))])
    assert reasons([outcome]) == ["exact copy of row 12"]


def test_copy_of_a_held_out_row_is_refused_by_its_name() -> None:
    known = KnownRows([], {row_key(OLD): "row 3 of the evaluation rows"})
    assert reasons(list(known.refuse_copies([proposal(OLD)]))) == ["exact copy of row 3 of the evaluation rows"]


def test_copy_within_and_across_answers_is_refused() -> None:
    outcomes = list(KnownRows([], {}).refuse_copies([proposal(NEW, NEW), proposal(NEW, request="r2")]))
    assert [len(outcome.rows) for outcome in outcomes] == [1, 0]
    assert reasons(outcomes) == ["exact copy of a generated row (from row 7)"] * 2
