import json
from pathlib import Path

import pytest

from pipeline.augment.outcome import GeneratedRow, MadeFrom, Outcome, Refused, Status
from pipeline.augment.review import DECISIONS_FILE, GENERATED_FILE, ReviewFolder
from pipeline.augment.rows import row_key, row_of
from pipeline.data.example import Row
from pipeline.errors import DataProblem
from tests.pipeline.augment.material import conversation

ORIGINAL = row_of(conversation("Why?", "So.", row=12))


def new_row(text: str) -> Row:
    return row_of(conversation(text, "So."))


def outcome(request: str, *questions: str, refused: tuple[Refused, ...] = (), finished: bool = True) -> Outcome:
    return Outcome(
        request=request,
        method="paraphrase",
        made_from=MadeFrom(rows=(12,)),
        before=(ORIGINAL,),
        rows=tuple(new_row(question) for question in questions),
        refused=refused,
        attempts=1,
        input_tokens=10,
        output_tokens=5,
        finished=finished,
    )


@pytest.fixture
def review(tmp_path: Path) -> ReviewFolder:
    """Three proposed rows of two requests."""
    folder = ReviewFolder(tmp_path / "review")
    folder.add(outcome("r1", "How come?", "What for?", refused=(Refused.because("missing", "1 of 3 are missing"),)))
    folder.add(outcome("r2", "By what cause?"))
    return folder


def accepted(review: ReviewFolder, **keys: dict[str, str]) -> list[Row]:
    return [row.row for row in review.accepted_rows(**keys) if isinstance(row, GeneratedRow)]


def test_rows_wait_for_a_decision_with_what_they_were_made_from(review: ReviewFolder) -> None:
    rows = review.rows()
    assert [row.id for row in rows] == ["r1-1", "r1-2", "r2-1"]
    assert {row.status for row in rows} == {"proposed"}
    assert rows[0].before == (ORIGINAL,)
    assert str(rows[0].made_from) == "row 12"
    assert accepted(review) == []


def test_only_accepted_rows_enter(review: ReviewFolder) -> None:
    review.decide(["r1-1", "r2-1"], "accepted")
    review.decide(["r1-2"], "rejected")
    assert accepted(review) == [new_row("How come?"), new_row("By what cause?")]
    assert [row.id for row in review.rows(status="rejected")] == ["r1-2"]


def test_last_decision_counts_and_can_be_taken_back(review: ReviewFolder) -> None:
    review.decide(["r1-1"], "accepted")
    review.decide(["r1-1"], "rejected")
    assert accepted(review) == []
    review.decide(["r1-1"], "proposed")
    assert len(review.rows(status="proposed")) == 3


def test_edited_row_enters_as_it_was_edited(review: ReviewFolder) -> None:
    review.edit("r1-2", new_row("For what purpose?"))
    assert accepted(review) == [new_row("For what purpose?")]
    assert review.rows(status="edited")[0].before == (ORIGINAL,)
    review.decide(["r1-2"], "rejected")
    assert accepted(review) == []


@pytest.mark.parametrize(
    ("edited", "sentence"),
    [
        (ORIGINAL, "exact copy of row 12"),
        (new_row(" Why? "), "exact copy of row 12"),
        (new_row("How come?"), "exact copy of generated row r1-1"),
        (new_row("Held out?"), "exact copy of row 5 of the evaluation rows"),
        (new_row(" "), "turn 1 is empty"),
        ({"messages": []}, "messages is not a list of turns"),
        ({"text": "once"}, "must have the columns messages; it has text"),
    ],
)
def test_edited_row_that_is_a_copy_or_unusable_is_refused(review: ReviewFolder, edited: Row, sentence: str) -> None:
    with pytest.raises(DataProblem, match=sentence):
        review.edit("r1-2", edited, existing_keys={row_key(new_row("Held out?")): "row 5 of the evaluation rows"})
    assert review.counts().edited == 0


def test_accepted_copy_of_a_row_that_came_later_is_refused(review: ReviewFolder) -> None:
    review.decide(["r1-1", "r2-1"], "accepted")
    entries = list(review.accepted_rows(existing_keys={row_key(new_row("How come?")): "row 99"}))
    assert entries[0] == Refused(kind="exact_copy", reason="exact copy of row 99", text="r1-1")
    assert isinstance(entries[1], GeneratedRow)


def test_unknown_row_is_refused_and_nothing_is_decided(review: ReviewFolder) -> None:
    with pytest.raises(DataProblem, match="no generated row r9-1"):
        review.decide(["r1-1", "r9-1"], "accepted")
    with pytest.raises(DataProblem, match="no generated row r9-1"):
        review.edit("r9-1", new_row("a"))
    with pytest.raises(DataProblem, match="needs its new text"):
        review.decide(["r1-1"], "edited")
    assert accepted(review) == []


def test_counts_add_up(review: ReviewFolder) -> None:
    review.decide(["r1-1"], "accepted")
    review.decide(["r1-2"], "rejected")
    counts = review.counts()
    assert (counts.proposed, counts.accepted, counts.rejected, counts.generated) == (1, 1, 1, 3)
    assert counts.refused == {"missing": 1}
    assert (counts.requests, counts.input_tokens, counts.output_tokens) == (2, 20, 10)


def test_request_that_failed_is_asked_again_and_its_last_outcome_counts(review: ReviewFolder) -> None:
    review.add(outcome("r3", refused=(Refused.because("request_failed", "status 500"),), finished=False))
    assert review.finished_requests() == {"r1", "r2"}
    assert review.counts().refused == {"missing": 1, "request_failed": 1}
    review.add(outcome("r3", "Wherefore?"))
    assert review.finished_requests() == {"r1", "r2", "r3"}
    assert review.counts().refused == {"missing": 1}
    assert [row.id for row in review.rows()][-1] == "r3-1"


def test_crash_in_the_middle_of_a_line_costs_that_line_only(review: ReviewFolder) -> None:
    path = review.folder / GENERATED_FILE
    whole = path.read_bytes()
    for cut in range(1, len(whole) - whole.index(b"\n")):
        path.write_bytes(whole[:-cut])
        assert [row.id for row in review.rows()] == ["r1-1", "r1-2"]
    review.add(outcome("r2", "By what cause?"))
    assert path.read_bytes() == whole


def test_files_are_plain_lines_of_json(review: ReviewFolder) -> None:
    review.decide(["r1-1"], "accepted")
    lines = [json.loads(line) for line in (review.folder / GENERATED_FILE).read_text().splitlines()]
    assert [line["request"] for line in lines] == ["r1", "r2"]
    decision = json.loads((review.folder / DECISIONS_FILE).read_text())
    assert (decision["row"], decision["status"]) == ("r1-1", "accepted")


def test_keys_name_the_generated_rows(review: ReviewFolder) -> None:
    assert review.keys()[row_key(new_row("What for?"))] == "generated row r1-2"


def test_folder_without_files_is_empty(tmp_path: Path) -> None:
    review = ReviewFolder(tmp_path / "none")
    assert review.rows() == []
    assert review.counts().generated == 0


@pytest.mark.parametrize("status", [None, "proposed", "accepted", "rejected", "edited"])
def test_pages_together_are_all_rows(review: ReviewFolder, status: Status | None) -> None:
    review.add(outcome("r3", "For what reason?", "On what ground?", "Wherefore?"))
    review.decide(["r1-1", "r3-2"], "accepted")
    review.decide(["r2-1"], "rejected")
    review.edit("r3-1", new_row("For which reason?"))
    pages = [review.page(status=status, offset=offset, limit=2) for offset in (0, 2, 4)]
    assert [row for page in pages for row in page.rows] == review.rows(status=status)
    assert {page.total for page in pages} == {len(review.rows(status=status))}
    assert all(page.counts == review.counts() for page in pages)
