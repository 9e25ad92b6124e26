"""The judge: what it is asked, what becomes of its scores, and what happens where it gives none."""

import json

import pytest

from pipeline.augment.endpoint_key import KEY_VARIABLE
from pipeline.errors import RewardFailed
from pipeline.reward_config import JudgeReward
from pipeline.rewards.judge import build
from tests.endpoint_server import MODEL, EndpointServer, Reply


def config(server: EndpointServer, **changes: object) -> JudgeReward:
    settings = {"base_url": server.base_url, "model": MODEL, "requests_per_minute": 100_000, "max_retries": 0}
    return JudgeReward.model_validate({**settings, "concurrent_requests": 1, **changes})


def says(score: object) -> Reply:
    return Reply(content=json.dumps({"scores": [score]}))


def test_judge_is_told_the_request_the_answer_and_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-judge-123456")
    with EndpointServer(key="sk-judge-123456") as server:
        server.answer_next(says(10), says(2.5))
        judge = build(config(server, instruction="Is it kind?", column="right"))
        assert judge(["Hello?", "Hello?"], ["Hi!", "Go."], right=["Hi", ["Hi", "Hey"]]) == [1.0, 0.25]
        first, second = server.received
    assert first.material == {"request": "Hello?", "answer": "Hi!", "right_answer": "Hi"}
    assert second.material["right_answer"] == ["Hi", "Hey"]
    assert "Is it kind?" in first.body["messages"][0]["content"]
    assert first.body["temperature"] == 0
    assert first.headers["authorization"] == "Bearer sk-judge-123456"


def test_equal_answers_are_judged_once() -> None:
    with EndpointServer() as server:
        server.answer_next(says(4), says(8))
        assert build(config(server))(["a", "a", "b"], ["x", "x", "x"]) == [0.4, 0.4, 0.8]
        assert len(server.received) == 2


def test_several_answers_are_judged_at_once() -> None:
    with EndpointServer() as server:
        server.answer_next(*(Reply(content='{"scores": [5]}', delay_seconds=0.05) for _ in range(8)))
        build(config(server, concurrent_requests=4))(["?"] * 8, [str(n) for n in range(8)])
        assert 1 < server.most_at_once <= 4


def test_unreadable_score_is_asked_for_again() -> None:
    with EndpointServer() as server:
        server.answer_next(Reply(content="A fine answer!"), says(7), says(70), says("9"), says(3))
        assert build(config(server))(["a", "b", "b"], ["x", "y", "z"]) == pytest.approx([0.7, 0.3, 0.3])
        assert len(server.received) == 5


def test_answer_without_score_gets_the_mean_of_its_group(caplog: pytest.LogCaptureFixture) -> None:
    with EndpointServer() as server:
        server.answer_next(says(2), says(6), Reply(status=400), says(10))
        judge = build(config(server))
        assert judge(["a", "a", "a", "b"], ["1", "2", "3", "4"]) == pytest.approx([0.2, 0.6, 0.4, 1.0])
    assert "The judge gave no score: the endpoint refused the request with status 400" in caplog.text


def test_failed_request_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.augment.endpoint._FIRST_PAUSE", 0.001)
    with EndpointServer() as server:
        server.answer_next(Reply(status=503), Reply(status=429), says(5))
        assert build(config(server, max_retries=2))(["a"], ["x"]) == [0.5]


def test_judge_that_scores_too_little_ends_the_run() -> None:
    with EndpointServer() as server:
        server.answer_next(*(Reply(status=400) for _ in range(3)), says(1))
        with pytest.raises(RewardFailed, match="the judge parrot-1 gave 3 of 4 answers no score"):
            build(config(server))(["a"] * 4, ["1", "2", "3", "4"])


def test_judge_that_cannot_be_reached_ends_the_run() -> None:
    with EndpointServer() as server:
        gone = config(server)
    with pytest.raises(
        RewardFailed, match=r"the judge cannot be asked. The endpoint http://127.0.0.1.* cannot be reached"
    ):
        build(gone)(["a"], ["x"])


def test_refused_key_ends_the_run_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-wrong-999999")
    with (
        EndpointServer(key="sk-judge-123456") as server,
        pytest.raises(RewardFailed, match="refused the key") as caught,
    ):
        build(config(server))(["a"], ["x"])
    assert "999999" not in str(caught.value)
