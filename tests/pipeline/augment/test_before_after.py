from pathlib import Path

import pytest

from pipeline.augment import augment, preview
from pipeline.augment.config import (
    CaseAugmentation,
    DocumentAugmentation,
    EndpointConfig,
    ParaphraseAugmentation,
    SynthesisAugmentation,
    SystemDropAugmentation,
    TyposAugmentation,
)
from pipeline.data.example import Example
from pipeline.errors import DataProblem
from tests.endpoint_server import EndpointServer, Reply
from tests.pipeline.augment.material import conversation, endpoint_config


def test_ten_rows_are_shown_before_and_after(
    examples: list[Example], endpoint: EndpointConfig, server: EndpointServer
) -> None:
    shown = preview(ParaphraseAugmentation(endpoint=endpoint, share=1), examples, seed=1)
    assert len(shown) == 10
    assert len(server.received) == 10
    for line in shown:
        assert line.after is not None
        assert line.after["messages"][0]["content"] == f"In other words: {line.before[0]['messages'][0]['content']}"
    # Spread over the set, not its beginning.
    assert max(line.made_from.rows[0] for line in shown) > 20


def test_local_rows_are_shown_exactly_as_the_run_makes_them(examples: list[Example]) -> None:
    config = TyposAugmentation(share=0.5)
    made = [
        row
        for outcome in augment(config, examples, progress=lambda *_: None, seed=7, existing_keys={})
        for row in outcome.rows
    ]
    shown = preview(config, examples, seed=7)
    assert len(shown) == 10
    assert all(line.after in made for line in shown)


def test_rows_that_the_method_suits_are_looked_for(examples: list[Example]) -> None:
    with_system = [conversation("Why?", f"So {row}.", row=row, system="Be brief.") for row in range(41, 53)]
    shown = preview(SystemDropAugmentation(share=1), [*examples, *with_system], seed=1)
    assert len(shown) == 10
    assert all(line.after is not None and line.made_from.rows[0] > 40 for line in shown)


def test_refusals_are_shown_where_there_are_no_rows(examples: list[Example]) -> None:
    small = [conversation(f"stone {row}", "yes", row=row) for row in range(3)]
    shown = preview(CaseAugmentation(style="lower", share=1), small, seed=1)
    assert [line.after for line in shown] == [None] * 3
    assert all(line.refused and "typed like that already" in line.refused.reason for line in shown)


def test_synthesis_shows_the_rows_that_the_model_saw(examples: list[Example], endpoint: EndpointConfig) -> None:
    config = SynthesisAugmentation(endpoint=endpoint, instruction="Stones.", rows_per_request=4, examples_shown=2)
    shown = preview(config, examples, seed=1)
    assert len(shown) == 10
    assert all(len(line.before) == 2 and line.after for line in shown)


def test_documents_show_passages_and_unreadable_pages(endpoint: EndpointConfig, tmp_path: Path) -> None:
    path = tmp_path / "stones.txt"
    path.write_text("\n\n".join(f"The stone number {n} is called {chr(97 + n)}. It is hard." * 5 for n in range(12)))
    config = DocumentAugmentation(
        endpoint=endpoint, documents=(str(path),), chunk_characters=300, overlap_characters=0, questions_per_chunk=1
    )
    shown = preview(config, [], seed=1)
    assert len(shown) == 10
    for line in shown:
        assert line.after is not None
        assert line.after["messages"][1]["content"] in line.before[0]["text"]


def test_preview_of_a_wrong_endpoint_says_what_is_wrong(examples: list[Example], server: EndpointServer) -> None:
    config = ParaphraseAugmentation(endpoint=endpoint_config(server, model="other"), share=1)
    with pytest.raises(DataProblem, match="knows no model called other"):
        preview(config, examples, seed=1)


def test_failed_request_is_shown_with_its_reason(examples: list[Example], server: EndpointServer) -> None:
    server.answer_next(Reply(status=400))
    config = ParaphraseAugmentation(endpoint=endpoint_config(server, concurrent_requests=1), share=1)
    shown = preview(config, examples[:3], seed=1)
    assert [line.after is not None for line in shown] == [True, True, False]
    assert shown[2].refused is not None
    assert "status 400" in shown[2].refused.reason
