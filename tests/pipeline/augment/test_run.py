import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.augment import ReviewFolder, augment, augment_into, row_key, row_of
from pipeline.augment.config import Augmentation, EndpointConfig, ParaphraseAugmentation, TyposAugmentation
from pipeline.augment.endpoint_key import KEY_VARIABLE
from pipeline.augment.outcome import Outcome
from pipeline.data.example import Example
from pipeline.errors import DataProblem
from tests.endpoint_server import EndpointServer, Reply
from tests.pipeline.augment.material import KEY, conversation, endpoint_config


def run(config: Augmentation, examples: list[Example], **values: Any) -> list[Outcome]:
    return list(augment(config, examples, **{"progress": lambda *_: None, "seed": 1, "existing_keys": {}, **values}))


def run_into(review: ReviewFolder, config: Augmentation, examples: list[Example], **values: Any) -> Any:
    arguments = {"progress": lambda *_: None, "seed": 1, "existing_keys": {}, **values}
    return augment_into(review, config, examples, **arguments)


@pytest.fixture
def review(tmp_path: Path) -> ReviewFolder:
    """An empty folder."""
    return ReviewFolder(tmp_path / "review")


@pytest.fixture
def paraphrase(endpoint: EndpointConfig) -> ParaphraseAugmentation:
    """Every row once in other words."""
    return ParaphraseAugmentation(endpoint=endpoint, share=1)


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"kind": "paraphrase", "share": 0.5, "variants_per_row": 2}, 40),
        ({"kind": "paraphrase", "target": "both", "share": 1}, 40),
        ({"kind": "synthesis", "instruction": "Stones.", "rows": 23}, 23),
        ({"kind": "documents", "questions_per_chunk": 2}, 2),
        ({"kind": "typos", "share": 1}, 40),
        ({"kind": "case", "style": "upper", "share": 0.1}, 4),
    ],
)
def test_every_method_adds_rows_that_wait_for_a_decision(
    endpoint: EndpointConfig,
    examples: list[Example],
    review: ReviewFolder,
    tmp_path: Path,
    settings: dict[str, Any],
    rows: int,
) -> None:
    document = tmp_path / "stones.txt"
    document.write_text("Quartz is hard. Talc is soft. Opal shines.")
    if settings["kind"] in ("paraphrase", "synthesis", "documents"):
        settings = settings | {"endpoint": endpoint}
    if settings["kind"] == "documents":
        settings = settings | {"documents": [str(document)]}
    config = TypeAdapter[Augmentation](Augmentation).validate_python(settings)
    counts = run_into(review, config, examples)
    assert (counts.proposed, counts.generated) == (rows, rows)
    known = {row_key(row_of(example)) for example in examples}
    assert not known & review.keys().keys()
    assert all(row.row.keys() == {"messages"} and row.before for row in review.rows())


def test_progress_is_told_from_the_beginning_to_the_end(
    paraphrase: ParaphraseAugmentation, examples: list[Example]
) -> None:
    told: list[tuple[int, int]] = []
    run(paraphrase, examples[:3], progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_key_of_the_environment_is_used_and_kept_out_of_the_folder(
    examples: list[Example], review: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with EndpointServer(key=KEY) as server:
        server.answer_next(Reply(content=json.dumps({"rewrites": [f"Tell me about 1 and {KEY}"]})))
        counts = run_into(review, ParaphraseAugmentation(endpoint=endpoint_config(server), share=1), examples[:5])
    assert counts.requests == 5
    files = list(review.folder.iterdir())
    assert files
    assert all(KEY not in file.read_text() for file in files)


def test_unknown_key_stops_before_a_second_request(examples: list[Example], review: ReviewFolder) -> None:
    with EndpointServer(key=KEY) as server:
        config = ParaphraseAugmentation(endpoint=endpoint_config(server, concurrent_requests=1), share=1)
        with pytest.raises(DataProblem, match="asks for a key, and none is stored"):
            run_into(review, config, examples)
        assert len(server.received) == 1


def test_run_that_was_cut_off_asks_only_for_what_is_missing(
    server: EndpointServer, examples: list[Example], review: ReviewFolder
) -> None:
    config = ParaphraseAugmentation(endpoint=endpoint_config(server, concurrent_requests=1), share=1)
    server.answer_next(*[Reply()] * 15, Reply(status=402))
    with pytest.raises(DataProblem, match="no credit left"):
        run_into(review, config, examples)
    asked_first = [json.dumps(received.body) for received in server.received[:15]]
    review.decide([row.id for row in review.rows()][:3], "accepted")

    told: list[tuple[int, int]] = []
    counts = run_into(review, config, examples, progress=lambda done, total: told.append((done, total)))
    asked_later = [json.dumps(received.body) for received in server.received[16:]]
    assert len(asked_later) == 25
    assert not set(asked_first) & set(asked_later)
    assert told[-1] == (40, 40)
    assert (counts.generated, counts.accepted, counts.requests) == (40, 3, 40)

    run_into(review, config, examples)
    assert len(server.received) == 41


def test_run_that_goes_on_refuses_copies_of_what_it_made_before(
    endpoint: EndpointConfig, examples: list[Example], review: ReviewFolder, server: EndpointServer
) -> None:
    same = Reply(content=json.dumps({"rewrites": ["Number 7?"]}))
    twins = [conversation("Is it 7?", "Yes.", row=1), conversation("Has it 7?", "Yes.", row=2)]
    server.answer_next(same, Reply(status=402))
    config = ParaphraseAugmentation(endpoint=endpoint.model_copy(update={"concurrent_requests": 1}), share=1)
    with pytest.raises(DataProblem):
        run_into(review, config, twins)
    server.answer_next(same)
    assert run_into(review, config, twins).refused == {"exact_copy": 1}
    reasons = [refusal.reason for outcome in review.outcomes() for refusal in outcome.refused]
    assert reasons == [f"exact copy of generated row {review.rows()[0].id}"]


def test_failures_in_between_are_counted_and_the_run_goes_on(
    server: EndpointServer, examples: list[Example], review: ReviewFolder
) -> None:
    config = ParaphraseAugmentation(endpoint=endpoint_config(server, concurrent_requests=1, max_retries=0), share=1)
    server.answer_next(
        Reply(status=500),
        Reply(text="oops"),
        Reply(content="no JSON here"),
        Reply(content='{"rewrites": []}'),
        Reply(content='{"rewrites": ["x', finish_reason="length"),
    )
    counts = run_into(review, config, examples)
    assert counts.generated == 35
    assert counts.refused == {"request_failed": 2, "not_json": 1, "missing": 1, "cut_off": 1}
    assert run_into(review, config, examples).generated == 37


def test_model_that_only_copies_is_stopped_with_the_cause(examples: list[Example], review: ReviewFolder) -> None:
    with EndpointServer(mood="copying") as server:
        config = ParaphraseAugmentation(endpoint=endpoint_config(server), share=1)
        with pytest.raises(
            DataProblem, match="8 requests gave no usable row, the last one because exact copy of row 8"
        ):
            run_into(review, config, examples)
        assert len(server.received) <= 8 + config.endpoint.concurrent_requests
    assert review.counts().refused == {"exact_copy": 8}


def test_model_that_writes_no_json_is_stopped_with_the_cause(examples: list[Example], review: ReviewFolder) -> None:
    with (
        EndpointServer(mood="rambling") as server,
        pytest.raises(DataProblem, match="because the answer holds no JSON"),
    ):
        run_into(review, ParaphraseAugmentation(endpoint=endpoint_config(server), share=1), examples)


def test_copy_of_a_held_out_row_is_refused(paraphrase: ParaphraseAugmentation, examples: list[Example]) -> None:
    held_out = row_of(conversation("In other words: Which stone has the number 1?", "The stone called a."))
    outcomes = run(paraphrase, examples[:2], existing_keys={row_key(held_out): "row 9 of the evaluation rows"})
    assert [refusal.reason for refusal in outcomes[0].refused] == ["exact copy of row 9 of the evaluation rows"]
    assert len(outcomes[1].rows) == 1


def test_methods_that_ask_nobody_give_the_same_rows_for_the_same_seed(examples: list[Example]) -> None:
    config = TyposAugmentation(share=0.5)
    assert run(config, examples) == run(config, examples)
    assert run(config, examples, seed=2) != run(config, examples)


def test_methods_that_ask_nobody_go_on_where_they_stopped(examples: list[Example], review: ReviewFolder) -> None:
    config = TyposAugmentation(share=1)
    for outcome in run(config, examples)[:10]:
        review.add(outcome)
    assert run_into(review, config, examples).generated == 40
    assert [row.row for row in review.rows()] == [row for outcome in run(config, examples) for row in outcome.rows]


def test_document_named_twice_is_asked_about_once(
    endpoint: EndpointConfig, server: EndpointServer, tmp_path: Path
) -> None:
    path = tmp_path / "stones.txt"
    path.write_text("Quartz is hard.")
    config = TypeAdapter[Augmentation](Augmentation).validate_python(
        {"kind": "documents", "endpoint": endpoint, "documents": [str(path)] * 2}
    )
    assert [len(outcome.rows) for outcome in run(config, [])] == [1]
    assert len(server.received) == 1


def test_no_training_rows_is_said(paraphrase: ParaphraseAugmentation) -> None:
    with pytest.raises(DataProblem, match="no training rows"):
        run(paraphrase, [])


def test_answers_are_never_altered_by_methods_that_ask_nobody(examples: list[Example]) -> None:
    for kind in ("typos", "case"):
        config = TypeAdapter[Augmentation](Augmentation).validate_python({"kind": kind, "share": 1})
        for outcome in run(config, examples):
            for row in outcome.rows:
                assert row["messages"][-1] == outcome.before[0]["messages"][-1]
