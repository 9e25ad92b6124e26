import json
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.augment.asking import MOST_FAILURES_IN_A_ROW, ask, ask_all, read_answer, stop_after_failures, tokens_in
from pipeline.augment.config import EndpointConfig, ParaphraseAugmentation
from pipeline.augment.endpoint import EndpointClient
from pipeline.augment.endpoint_key import EndpointKey
from pipeline.augment.outcome import MadeFrom, Outcome, RefusalKind, Refused
from pipeline.augment.paraphrase import plan_paraphrases
from pipeline.augment.replies import Completion
from pipeline.augment.request import Request
from pipeline.data.example import Example, Message
from pipeline.errors import DataProblem
from tests.endpoint_server import EndpointServer, Reply
from tests.pipeline.augment.material import endpoint_config, requests_of


@pytest.fixture
def client(endpoint: EndpointConfig) -> Iterator[EndpointClient]:
    """A client of the server whose pauses take no time."""
    with EndpointClient(endpoint, key=EndpointKey(None), sleep=lambda _: None) as opened:
        yield opened


@pytest.fixture
def requests(endpoint: EndpointConfig, examples: list[Example]) -> list[Request]:
    """A request for each of the forty rows."""
    return requests_of(plan_paraphrases(ParaphraseAugmentation(endpoint=endpoint, share=1), examples, seed=1))


def outcome_with(*kinds: RefusalKind, rows: int = 0, attempts: int = 1) -> Outcome:
    return Outcome(
        request="r",
        method="paraphrase",
        made_from=MadeFrom(rows=(1,)),
        rows=({"text": "a"},) * rows,
        refused=tuple(Refused.because(kind, f"reason {kind}") for kind in kinds),
        attempts=attempts,
    )


def test_outcome_has_rows_and_usage(server: EndpointServer, client: EndpointClient, requests: list[Request]) -> None:
    outcome = ask(requests[0], client)
    assert outcome.rows[0]["messages"][0]["content"] == "In other words: Which stone has the number 1?"
    assert outcome.input_tokens == sum(len(message["content"]) for message in requests[0].messages)
    assert (outcome.attempts, outcome.usage_reported, outcome.finished) == (1, True, True)


def test_usage_is_estimated_where_the_server_does_not_count(
    server: EndpointServer, client: EndpointClient, requests: list[Request]
) -> None:
    content = json.dumps({"rewrites": ["Number 1, which one?"]})
    server.answer_next(Reply(content=content, has_usage=False))
    outcome = ask(requests[0], client)
    assert not outcome.usage_reported
    assert outcome.output_tokens == -(-len(content) // 4)
    assert outcome.input_tokens > 100


def test_failed_request_is_counted_and_open_for_another_run(
    server: EndpointServer, client: EndpointClient, requests: list[Request]
) -> None:
    server.answer_next(Reply(status=400))
    outcome = ask(requests[0], client)
    assert (outcome.rows, outcome.finished, outcome.attempts) == ((), False, 1)
    assert outcome.refused == (
        Refused(kind="request_failed", reason="the endpoint refused the request with status 400: this was ordered"),
    )


def test_answer_cut_off_by_the_limit_says_so(requests: list[Request]) -> None:
    rows, refused = read_answer(requests[0], Completion('{"rewrites": [{"pro', 1, 1, is_cut_off=True))
    assert rows == []
    assert [(refusal.kind, refusal.reason) for refusal in refused] == [
        ("cut_off", "the answer was longer than max_tokens")
    ]


def test_outcomes_come_in_the_order_of_the_plan_whatever_answers_first(
    server: EndpointServer, client: EndpointClient, requests: list[Request]
) -> None:
    server.answer_next(Reply(delay_seconds=0.15), Reply(), Reply(delay_seconds=0.05))
    outcomes = list(ask_all(requests[:10], client, concurrent=4))
    assert [outcome.request for outcome in outcomes] == [request.id for request in requests[:10]]
    assert all(outcome.rows for outcome in outcomes)


def test_only_so_many_requests_wait_at_once(
    server: EndpointServer, client: EndpointClient, requests: list[Request]
) -> None:
    server.answer_next(*[Reply(delay_seconds=0.02)] * 12)
    list(ask_all(requests[:12], client, concurrent=3))
    assert 1 < server.most_at_once <= 3


def test_what_is_no_request_passes_in_its_place(client: EndpointClient, requests: list[Request]) -> None:
    known = outcome_with("not_applicable", attempts=0)
    outcomes = list(ask_all([requests[0], known, requests[1]], client, concurrent=2))
    assert [outcome.request for outcome in outcomes] == [requests[0].id, "r", requests[1].id]


def test_settings_that_no_request_can_meet_end_the_run_after_what_came_before(
    server: EndpointServer, client: EndpointClient, requests: list[Request]
) -> None:
    server.answer_next(Reply(), Reply(), Reply(status=401, text=""))
    received = []
    with pytest.raises(DataProblem, match="asks for a key"):
        for outcome in ask_all(requests, client, concurrent=1):
            received.append(outcome.request)
    assert received == [request.id for request in requests[:2]]
    assert len(server.received) == 3


def test_caller_that_wants_no_more_does_not_wait_for_pauses(server: EndpointServer, requests: list[Request]) -> None:
    server.answer_next(*[Reply(status=429, headers={"Retry-After": "200"})] * 3)
    known = outcome_with("not_applicable", attempts=0)
    config = endpoint_config(server)
    with EndpointClient(config, key=EndpointKey(None)) as client:
        outcomes = ask_all([known, *requests], client, concurrent=2)
        next(outcomes)
        while not server.received:
            time.sleep(0.01)
        started = time.monotonic()
        outcomes.close()
    assert time.monotonic() - started < 5
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ask")] == []


def test_failures_in_a_row_end_the_run_with_the_cause() -> None:
    outcomes = [outcome_with("not_json", "missing"), outcome_with("not_json")] * 10
    seen = []
    with pytest.raises(
        DataProblem, match="The last 8 requests gave no usable row, the last one because reason not_json"
    ):
        for outcome in stop_after_failures(outcomes):
            seen.append(outcome)
    assert len(seen) == MOST_FAILURES_IN_A_ROW


@pytest.mark.parametrize(
    "between",
    [outcome_with(rows=1), outcome_with("exact_copy", rows=1)],
)
def test_one_row_in_between_ends_the_count(between: Outcome) -> None:
    outcomes = [*[outcome_with("not_json")] * 7, between, *[outcome_with("not_json")] * 7]
    assert list(stop_after_failures(outcomes)) == outcomes


@pytest.mark.parametrize("harmless", [outcome_with("missing"), outcome_with("not_applicable", attempts=0)])
def test_passages_with_nothing_to_ask_and_rows_not_asked_about_are_no_failures(harmless: Outcome) -> None:
    assert len(list(stop_after_failures([harmless] * 50))) == 50


def test_tokens_are_estimated_from_bytes() -> None:
    assert [tokens_in(text) for text in ("", "a", "four", "fives", "字字字字")] == [0, 1, 1, 2, 3]


def test_request_about_half_a_character_is_estimated(endpoint: EndpointConfig) -> None:
    broken = Example(1, messages=(Message("user", "a\ud800"), Message("assistant", "b")))
    (request,) = requests_of(plan_paraphrases(ParaphraseAugmentation(endpoint=endpoint, share=1), [broken], seed=1))
    assert tokens_in(request.messages[1]["content"]) > 0
