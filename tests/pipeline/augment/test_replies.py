import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.augment.replies import (
    Reply,
    RequestFailed,
    TryAgain,
    error_of,
    raise_for_reply,
    read_completion,
    wait_asked_for,
)
from pipeline.errors import DataProblem


def judge(reply: Reply, *, has_key: bool = True) -> None:
    raise_for_reply(reply, address="https://host/v1", model="m-1", has_key=has_key)


def says(message: str, **values: object) -> str:
    return json.dumps({"error": {"message": message, **values}})


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(401, {}, says("bad sk-secret")), "refused the key (status 401)"),
        (Reply(403, {}, ""), "refused the key (status 403)"),
        (Reply(402, {}, says("Insufficient Balance")), "no credit left"),
        (Reply(429, {}, says("You exceeded your quota", code="insufficient_quota")), "no credit left"),
        (Reply(404, {}, says("The model `m-1` does not exist")), "knows no model called m-1"),
        (Reply(404, {}, "<html>nothing here</html>"), "Most addresses end in /v1"),
        (Reply(307, {"location": "https://me:pw@other/v1?token=t"}, ""), "sends its visitors on to https://other/v1"),
        (Reply(301, {}, ""), "sends its visitors on (status 301)"),
    ],
)
def test_reply_that_no_request_can_mend_is_a_sentence(reply: Reply, sentence: str) -> None:
    with pytest.raises(DataProblem) as caught:
        judge(reply)
    assert sentence in str(caught.value)
    for secret in ("sk-secret", "pw", "token=t"):
        assert secret not in str(caught.value)


def test_missing_key_is_told_from_a_refused_one() -> None:
    with pytest.raises(DataProblem, match="asks for a key, and none is stored"):
        judge(Reply(401, {}, ""), has_key=False)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_reply_that_passes_is_worth_another_try(status: int) -> None:
    with pytest.raises(TryAgain, match=f"status {status}: too much to do") as caught:
        judge(Reply(status, {"retry-after": "7"}, says("too much to do.")))
    assert caught.value.wait == 7


def test_refused_request_says_what_the_server_says() -> None:
    with pytest.raises(RequestFailed, match="status 400: the prompt is too long"):
        judge(Reply(400, {}, says("the prompt is too long")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"error": {"message": "one"}}', "one"),
        ('{"error": "two"}', "two"),
        ('{"message": "three"}', "three"),
        ('{"detail": "four"}', "four"),
        ("[1]", ""),
        ("not json", ""),
        ('{"error": null}', ""),
    ],
)
def test_message_is_found_in_the_shapes_that_servers_use(text: str, message: str) -> None:
    assert error_of(Reply(400, {}, text))[1] == message


def test_long_message_is_cut() -> None:
    assert len(error_of(Reply(400, {}, says("word " * 10_000)))[1]) < 400


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("1.5", 1.5), ("", 0.0), ("soon", 0.0), ("-4", 0.0)])
def test_wait_is_read_in_seconds(value: str, seconds: float) -> None:
    assert wait_asked_for(Reply(429, {"retry-after": value}, "")) == seconds


def test_wait_is_read_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < wait_asked_for(Reply(429, {"retry-after": later}, "")) <= 90
    assert wait_asked_for(Reply(429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "")) == 0


def completion(message: object, **values: object) -> Reply:
    return Reply(200, {}, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **values}))


def test_completion_is_read_with_its_tokens() -> None:
    read = read_completion(completion({"content": "Hi"}, usage={"prompt_tokens": 7, "completion_tokens": 2}))
    assert (read.text, read.input_tokens, read.output_tokens, read.is_cut_off) == ("Hi", 7, 2, False)


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": "many", "completion_tokens": -1}])
def test_completion_without_usable_counts_has_none(usage: object) -> None:
    read = read_completion(completion({"content": "Hi"}, usage=usage))
    assert (read.input_tokens, read.output_tokens) == (None, None)


@pytest.mark.parametrize(
    ("content", "text"), [(None, ""), ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"), (3, "")]
)
def test_completion_content_of_any_type_becomes_text(content: object, text: str) -> None:
    assert read_completion(completion({"content": content})).text == text


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(200, {"content-type": "text/html"}, "<html>"), "a web page; its address may lack /v1"),
        (Reply(200, {}, "oops"), "not JSON"),
        (Reply(200, {}, "[" * 100_000), "not JSON"),
        (Reply(200, {}, "[]"), "no choices"),
        (Reply(200, {}, '{"choices": []}'), "no choices"),
        (Reply(200, {}, '{"choices": [{"message": "Hi"}]}'), "no choices"),
        (Reply(200, {}, '{"error": {"message": "provider is down"}}'), "provider is down"),
    ],
)
def test_reply_that_is_no_completion_says_what_it_is(reply: Reply, reason: str) -> None:
    with pytest.raises(RequestFailed, match=reason):
        read_completion(reply)
