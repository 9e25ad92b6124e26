import json
import logging
import socket
import threading
import time

import pytest

from pipeline.augment.endpoint import EndpointClient
from pipeline.augment.endpoint_key import EndpointKey
from pipeline.augment.replies import Completion, RequestFailed
from pipeline.errors import DataProblem
from tests.endpoint_server import EndpointServer, Reply
from tests.pipeline.augment.material import KEY, Clock, endpoint_config

QUESTION = [
    {"role": "system", "content": "Write 1 rewritten version(s)."},
    {"role": "user", "content": '{"prompt": "Why is it so?"}'},
]


def make_client(server: EndpointServer, clock: Clock, *, key: str | None = None, **settings: object) -> EndpointClient:
    config = endpoint_config(server, **settings)
    return EndpointClient(config, key=EndpointKey(key), clock=clock, sleep=clock.sleep, jitter=lambda: 0.0)


def ask(server: EndpointServer, clock: Clock, *, key: str | None = None, **settings: object) -> tuple[Completion, int]:
    with make_client(server, clock, key=key, **settings) as client:
        return client.complete(QUESTION)


def error_message(status: int, message: str) -> Reply:
    return Reply(status=status, text=json.dumps({"error": {"message": message}}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_answer_comes_with_the_tokens_used(server: EndpointServer, clock: Clock) -> None:
    completion, attempts = ask(server, clock)
    assert json.loads(completion.text) == {"rewrites": [{"prompt": "In other words: Why is it so?"}]}
    assert completion.input_tokens == sum(len(message["content"]) for message in QUESTION)
    assert attempts == 1


def test_request_has_what_the_configuration_says(server: EndpointServer, clock: Clock) -> None:
    ask(server, clock, temperature=0.3, max_tokens=77)
    (received,) = server.received
    assert received.path == "/v1/chat/completions"
    assert received.body == {
        "model": "parrot-1",
        "messages": QUESTION,
        "temperature": 0.3,
        "max_tokens": 77,
        "response_format": {"type": "json_object"},
    }


def test_key_is_sent_as_bearer(clock: Clock) -> None:
    with EndpointServer(key=KEY) as server:
        assert ask(server, clock, key=KEY)[1] == 1
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_no_key_sends_no_header(server: EndpointServer, clock: Clock) -> None:
    ask(server, clock)
    assert "authorization" not in server.received[0].headers


def test_refused_key_stops_at_once_and_is_not_repeated(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "sk-wrong-0123456789"
    with (
        EndpointServer(key=KEY) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(DataProblem, match="refused the key") as caught,
    ):
        ask(server, clock, key=wrong)
    assert len(server.received) == 1
    assert wrong not in str(caught.value)
    assert wrong not in caplog.text


@pytest.mark.parametrize("status", [400, 500])
def test_server_that_quotes_the_key_does_not_bring_it_into_errors(
    server: EndpointServer, clock: Clock, status: int
) -> None:
    server.answer_next(error_message(status, f"cannot use {KEY}"))
    with pytest.raises(RequestFailed, match=r"cannot use \[key\]"):
        ask(server, clock, key=KEY, max_retries=0)


def test_model_that_repeats_the_key_does_not_bring_it_into_rows(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(content=f"your key is {KEY}"))
    assert ask(server, clock, key=KEY)[0].text == "your key is [key]"


def test_unknown_model_is_named(server: EndpointServer, clock: Clock) -> None:
    with pytest.raises(DataProblem, match="knows no model called parrot-9"):
        ask(server, clock, model="parrot-9")


def test_wrong_path_is_told_from_an_unknown_model(server: EndpointServer, clock: Clock) -> None:
    with pytest.raises(DataProblem, match="Most addresses end in /v1"):
        ask(server, clock, base_url=server.base_url.removesuffix("/v1"))


def test_moment_of_failure_is_tried_again_with_growing_pauses(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(status=500), Reply(status=503), Reply(status=429))
    _, attempts = ask(server, clock)
    assert attempts == 4
    assert [pause for pause in clock.slept if pause >= 1] == [1.0, 2.0, 4.0]


def test_jitter_shortens_a_pause_by_up_to_half(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(status=500))
    config = endpoint_config(server)
    with EndpointClient(config, key=EndpointKey(None), clock=clock, sleep=clock.sleep, jitter=lambda: 1.0) as client:
        client.complete(QUESTION)
    assert clock.slept == [0.5]


def test_retries_are_bounded(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(*[Reply(status=500)] * 10)
    with pytest.raises(RequestFailed, match="status 500: this was ordered, 3 times"):
        ask(server, clock, max_retries=2)
    assert len(server.received) == 3


def test_wait_that_the_server_asks_for_is_kept(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(status=429, headers={"Retry-After": "33"}))
    ask(server, clock)
    assert clock.slept == [33.0]


def test_wait_that_is_too_long_ends_the_run(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(DataProblem, match="asks to wait 120 minutes"):
        ask(server, clock)
    assert clock.slept == []


def test_retries_keep_to_the_rate(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(status=500))
    ask(server, clock, requests_per_minute=2)
    # One second of pause, and what is missing to half a minute.
    assert clock.slept == [1.0, 29.0]


@pytest.mark.parametrize(
    ("message", "name", "instead"),
    [
        ("'response_format.type' must be 'json_schema' or 'text'", "response_format", None),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            "max_tokens",
            "max_completion_tokens",
        ),
        ("Unsupported value: 'temperature' does not support 0.8 with this model.", "temperature", None),
    ],
)
def test_parameter_that_the_server_does_not_take_is_left_out_from_then_on(
    server: EndpointServer, clock: Clock, message: str, name: str, instead: str | None
) -> None:
    server.answer_next(error_message(400, message))
    with make_client(server, clock, max_retries=0) as client:
        client.complete(QUESTION)
        client.complete(QUESTION)
    first, *later = [received.body for received in server.received]
    assert name in first
    assert len(later) == 2
    for body in later:
        assert name not in body
        assert instead is None or body[instead] == first[name]


def test_value_out_of_range_is_not_dropped(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(error_message(400, "temperature must be at most 1"))
    with pytest.raises(RequestFailed, match="temperature must be at most 1"):
        ask(server, clock, temperature=1.5)


def test_redirect_to_another_host_never_gets_the_key(clock: Clock) -> None:
    with EndpointServer() as elsewhere, EndpointServer(key=KEY) as server:
        server.answer_next(Reply(status=307, text="", headers={"location": f"{elsewhere.base_url}/chat/completions"}))
        with pytest.raises(DataProblem, match="sends its visitors on to http://127.0.0.1"):
            ask(server, clock, key=KEY)
        assert elsewhere.received == []


def test_nobody_at_the_address_is_said_after_the_retries(server: EndpointServer, clock: Clock) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(DataProblem, match="cannot be reached .*, 2 times") as caught:
        ask(server, clock, base_url=address, max_retries=1, key=KEY)
    assert address in str(caught.value)


def test_slow_answer_is_given_up(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(delay_seconds=0.4))
    with pytest.raises(RequestFailed, match="no answer within 0.05 seconds"):
        ask(server, clock, timeout_seconds=0.05, max_retries=0)


def test_answer_that_drips_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_drip, args=(listener,))
        thread.start()
        with EndpointServer() as server:
            config = endpoint_config(
                server,
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1",
                timeout_seconds=0.3,
                max_retries=0,
            )
            started = time.monotonic()
            with (
                EndpointClient(config, key=EndpointKey(None)) as client,
                pytest.raises(RequestFailed, match="no answer within 0.3 seconds"),
            ):
                client.complete(QUESTION)
            assert time.monotonic() - started < 2
        thread.join()


def _drip(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.02)
        except OSError:
            return


def test_broken_connection_is_tried_again(clock: Clock, server: EndpointServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(2)])
        thread.start()
        with pytest.raises(RequestFailed, match="the connection broke: .*, 2 times"):
            ask(server, clock, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", max_retries=1)
        thread.join()


def test_answer_beyond_reason_is_not_read_to_its_end(server: EndpointServer, clock: Clock) -> None:
    server.answer_next(Reply(text="x" * (9 << 20)))
    with pytest.raises(RequestFailed, match="over 8 MB"):
        ask(server, clock)


def test_stopping_ends_the_pauses(server: EndpointServer) -> None:
    server.answer_next(Reply(status=429, headers={"Retry-After": "200"}))
    with EndpointClient(endpoint_config(server), key=EndpointKey(None)) as client:
        threading.Timer(0.1, client.stop_waiting).start()
        started = time.monotonic()
        with pytest.raises(RequestFailed, match="the run was stopped"):
            client.complete(QUESTION)
    assert time.monotonic() - started < 5


def test_client_shows_no_key(server: EndpointServer, clock: Clock) -> None:
    with make_client(server, clock, key=KEY) as client:
        assert KEY not in f"{client!r} {vars(client)!r}"


def test_half_a_character_in_a_message_does_not_end_the_request(server: EndpointServer, clock: Clock) -> None:
    with make_client(server, clock) as client:
        client.complete([QUESTION[0], {"role": "user", "content": '{"prompt": "a\ud800b"}'}])
    assert server.received[0].material == {"prompt": "a?b"}
