import json
from pathlib import Path

import pytest

from pipeline.augment.config import DocumentAugmentation, EndpointConfig
from pipeline.augment.from_documents import plan_questions
from pipeline.augment.outcome import Outcome
from pipeline.augment.request import Plan
from pipeline.errors import DataProblem
from tests.pipeline.augment.material import read, requests_of, write_pdf

ENDPOINT = EndpointConfig(base_url="https://host/v1", model="m")
PASSAGE = "Quartz is hard. It scratches “ordinary”\nglass."


def plan_of(*paths: Path, **settings: object) -> Plan:
    documents = [str(path) for path in paths]
    config = DocumentAugmentation.model_validate({"endpoint": ENDPOINT, "documents": documents, **settings})
    return plan_questions(config, [], seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A document of one passage."""
    file = tmp_path / "stones.md"
    file.write_text(PASSAGE, encoding="utf-8")
    return file


def answer(evidence: object) -> str:
    return json.dumps({"questions": [{"question": "What is hard?", "answer": "Quartz.", "evidence": evidence}]})


def test_each_passage_is_asked_about_with_its_place(tmp_path: Path) -> None:
    pdf = write_pdf(tmp_path / "a.pdf", ["Quartz is hard and scratches glass. " * 5, "Talc is soft. " * 12])
    requests = requests_of(plan_of(pdf, chunk_characters=200, overlap_characters=0, questions_per_chunk=2))
    assert [(str(request.made_from), request.wanted) for request in requests] == [
        ("a.pdf, page 1", 2),
        ("a.pdf, page 2", 2),
    ]
    material = json.loads(requests[1].messages[1]["content"])
    assert material["passage"] == requests[1].before[0]["text"]
    assert material["passage"].startswith("Talc is soft.")


def test_path_of_the_document_stays_at_home(path: Path) -> None:
    (request,) = requests_of(plan_of(path))
    assert str(path.parent) not in json.dumps(request.messages)
    assert request.made_from.document == "stones.md"


@pytest.mark.parametrize("evidence", ["Quartz is hard.", "quartz is HARD", 'scratches "ordinary" glass'])
def test_question_with_a_quotation_from_the_passage_is_taken(path: Path, evidence: str) -> None:
    (request,) = requests_of(plan_of(path, questions_per_chunk=1))
    rows, refused = read(request, answer(evidence))
    assert refused == []
    assert rows == [
        {"messages": [{"role": "user", "content": "What is hard?"}, {"role": "assistant", "content": "Quartz."}]}
    ]


@pytest.mark.parametrize("evidence", ["Diamond is harder.", "artz is har", "", None, "…", 7])
def test_question_without_a_quotation_from_the_passage_is_refused(path: Path, evidence: object) -> None:
    (request,) = requests_of(plan_of(path, questions_per_chunk=1))
    assert read(request, answer(evidence)) == ([], ["no_evidence"])


def test_quotation_may_be_waived(path: Path) -> None:
    (request,) = requests_of(plan_of(path, questions_per_chunk=1, require_evidence=False))
    rows, _ = read(request, answer("Diamond is harder."))
    assert len(rows) == 1


def test_pages_without_text_are_counted(tmp_path: Path) -> None:
    plan = plan_of(write_pdf(tmp_path / "a.pdf", ["Quartz is hard.", ""]))
    items = list(plan.items)
    assert plan.total == len(items) == 2
    assert isinstance(items[0], Outcome)
    assert items[0].refused[0].reason == "a.pdf: page 2 has no text; it is empty or a picture"


def test_unreadable_document_is_told_before_anything_is_asked(tmp_path: Path, path: Path) -> None:
    with pytest.raises(DataProblem, match="There is no document"):
        plan_of(path, tmp_path / "missing.pdf")


def test_wish_is_passed_on(path: Path) -> None:
    (request,) = requests_of(plan_of(path, instruction="Ask in $German."))
    assert "What is wanted: Ask in $German." in request.messages[0]["content"]
