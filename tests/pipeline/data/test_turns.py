"""Conversations of every spelling become the same turns; what cannot be trained on has a reason with its turn."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.example import Message, UnusableRow
from pipeline.data.image_references import OPEN_PLACE
from pipeline.data.mapping import Conversation
from pipeline.data.turns import KNOWN_ROLES, check_order, read_turns, without_blank_system

said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
QUESTION_AND_ANSWER = [Message("user", "Q"), Message("assistant", "A")]


def turns_of(value: Any, **keys: Any) -> list[Message]:
    return read_turns(value, column="messages", conversation=Conversation(column="messages", **keys) if keys else None)


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
        [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
        [{"speaker": "user", "text": "Q"}, {"speaker": "bot", "text": "A"}],
        [{"role": "Human", "value": "Q", "weight": 1}, {"role": " AI ", "value": "A", "weight": 0}],
        [{"role": "user", "parts": [{"text": "Q"}]}, {"role": "model", "parts": [{"text": "A"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, {"role": "assistant", "content": ["A"]}],
        [{"author": {"role": "user"}, "content": {"parts": ["Q"]}}, {"role": "assistant", "content": {"parts": ["A"]}}],
        [{"input": "Q", "output": "A"}],
        [{"human": "Q", "assistant": "A"}],
        [["Q", "A"]],
        ["Q", "A"],
        '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]',
        "[{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'content': 'A'}]",
    ],
)
def test_every_spelling_of_turns_is_read(value: Any) -> None:
    assert turns_of(value) == QUESTION_AND_ANSWER


def test_own_names_of_keys_and_roles_are_read() -> None:
    value = [{"who": "Patient", "says": "Q"}, {"who": "Doctor", "says": "A"}]
    roles = {"Patient": "user", "Doctor": "assistant"}
    assert turns_of(value, role_key="who", content_key="says", roles=roles) == QUESTION_AND_ANSWER


def test_own_names_of_an_exchange_are_read() -> None:
    assert turns_of([{"frage": "Q", "antwort": "A"}], roles={"frage": "user", "antwort": "assistant"}) == [
        Message("user", "Q"),
        Message("assistant", "A"),
    ]


@given(texts=st.lists(said, min_size=1, max_size=6), as_json=st.booleans(), in_parts=st.booleans())
def test_text_of_turns_is_never_altered(texts: list[str], as_json: bool, in_parts: bool) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "text", "text": text}]}
        if in_parts
        else {"role": "user", "content": text}
        for text in texts
    ]
    messages = turns_of(json.dumps(turns) if as_json else turns)
    assert [message.content for message in messages] == [text * 2 if in_parts else text for text in texts]


@pytest.mark.parametrize("name", sorted(KNOWN_ROLES))
def test_known_role_is_read_in_any_case(name: str) -> None:
    (message,) = turns_of([{"role": name.upper(), "content": "text"}])
    assert message.role == KNOWN_ROLES[name]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "messages is not a list of turns"),
        ([], "messages is not a list of turns"),
        ("hello", "messages is not a list of turns"),
        ("[1, 2", "messages is not a list of turns"),
        (7, "messages is not a list of turns"),
        ([{"role": "user", "content": ""}], "turn 1 is empty"),
        ([{"role": "user", "content": " \n"}], "turn 1 is empty"),
        ([{"role": "user", "content": None}], "turn 1 is empty"),
        ([{"role": "user", "content": []}], "turn 1 is empty"),
        ([{"role": "user"}], "turn 1 is empty"),
        (
            [*[{"role": "user", "content": "Q"}] * 2, {"role": "assistant", "content": "", "name": "x"}],
            "turn 3 is empty",
        ),
        ([{"input": "Q", "output": ""}], "turn 2 is empty"),
        ([{"content": "Q"}], "turn 1 has no role and content"),
        ([{"role": "user", "content": "Q"}, 7], "turn 2 has no role and content"),
        (
            [{"role": "narrator", "content": "Q"}],
            "turn 1 has the role 'narrator'; known are system, user, assistant, tool",
        ),
        ([{"role": None, "content": "Q"}], "turn 1 has the role 'None'; known are system, user, assistant, tool"),
        (
            [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}],
            "turn 1 has a part of type 'video', which is neither text nor an image",
        ),
        ([{"role": "user", "content": [7]}], "turn 1 has a part that is a number, which is neither text nor an image"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}], "turn 1 has a tool call without a name"),
    ],
)
def test_unreadable_turn_is_named(value: Any, reason: str) -> None:
    with pytest.raises(UnusableRow) as caught:
        turns_of(value)
    assert str(caught.value) == reason


def test_tool_call_and_its_answer_are_read() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = turns_of(
        [
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
            {"role": "assistant", "content": "Noon."},
        ]
    )
    assert messages[1] == Message("assistant", "", tool_calls=(call,))
    assert messages[2] == Message("tool", "noon", name="now")
    check_order(messages)


@pytest.mark.parametrize(
    "turn",
    [
        {"from": "function_call", "value": '{"name": "now", "arguments": {"zone": "Łódź"}}'},
        {"role": "assistant", "function_call": {"name": "now", "arguments": {"zone": "Łódź"}}},
        {"role": "assistant", "content": "", "tool_calls": '[{"name": "now", "arguments": {"zone": "Łódź"}}]'},
        {"role": "model", "parts": [{"functionCall": {"name": "now", "args": {"zone": "Łódź"}}}]},
    ],
)
def test_tool_call_of_any_spelling_has_the_shape_of_openai(turn: dict[str, Any]) -> None:
    expected = {"type": "function", "function": {"name": "now", "arguments": {"zone": "Łódź"}}}
    assert turns_of([turn]) == [Message("assistant", "", tool_calls=(expected,))]


def test_function_call_that_is_no_call_stays_text() -> None:
    assert turns_of([{"from": "function_call", "value": "let me look"}]) == [Message("assistant", "let me look")]


def test_answers_of_several_tools_are_turns_each() -> None:
    parts = [
        {"functionResponse": {"name": "now", "response": {"time": "noon"}}},
        {"functionResponse": {"name": "where", "response": "Łódź"}},
    ]
    assert turns_of([{"role": "user", "parts": parts}]) == [
        Message("tool", '{"time": "noon"}', name="now"),
        Message("tool", "Łódź", name="where"),
    ]


@pytest.mark.parametrize(
    ("part", "reference"),
    [
        ({"type": "image"}, OPEN_PLACE),
        ({"type": "image", "text": None}, OPEN_PLACE),
        ({"type": "image", "image": {"path": "images/1.png"}}, "images/1.png"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, "data:image/png;base64,AA"),
        ({"type": "input_image", "image_url": "https://example.com/1.png"}, "https://example.com/1.png"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}, "AA"),
        ({"inlineData": {"mimeType": "image/png", "data": "AA"}}, "data:image/png;base64,AA"),
        ({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/1.png"}}, "gs://b/1.png"),
    ],
)
def test_image_of_any_spelling_keeps_its_place(part: dict[str, Any], reference: str) -> None:
    content = [{"type": "text", "text": "before "}, part, {"type": "text", "text": "after"}]
    assert turns_of([{"role": "user", "content": content}]) == [
        Message("user", "before after", images=(reference,), image_positions=(7,))
    ]


def conversation(*roles: str) -> list[Message]:
    return [Message(role, "text") for role in roles]


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "assistant"),
        ("system", "user", "assistant", "user", "assistant"),
        ("user", "assistant", "tool", "tool", "assistant"),
        ("user", "assistant", "tool", "assistant", "tool", "assistant", "user", "assistant"),
    ],
)
def test_order_that_can_be_trained_on_is_accepted(roles: tuple[str, ...]) -> None:
    check_order(conversation(*roles))
    assert without_blank_system(conversation(*roles)) == conversation(*roles)


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (("user",), "the last turn is not the assistant's"),
        (("user", "assistant", "tool"), "the last turn is not the assistant's"),
        (("assistant",), "turn 1 is by assistant, expected user: turns must alternate"),
        (("system", "assistant"), "turn 2 is by assistant, expected user: turns must alternate"),
        (("user", "user", "assistant"), "turn 2 is by user, expected assistant: turns must alternate"),
        (("user", "assistant", "assistant"), "turn 3 is by assistant, expected user: turns must alternate"),
        (("user", "assistant", "tool", "user"), "turn 4 is by user, expected assistant: turns must alternate"),
        (("user", "system", "assistant"), "turn 2 is by system, which may only speak first"),
        (("user", "tool"), "turn 2 is by tool, but comes after user: tools answer the assistant"),
        (("tool",), "turn 1 is by tool, but comes after the beginning: tools answer the assistant"),
    ],
)
def test_turn_out_of_order_is_named(roles: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnusableRow) as caught:
        check_order(conversation(*roles))
    assert str(caught.value) == reason


@pytest.mark.parametrize(("roles", "who"), [(("user", "assistant"), "assistant"), (("system",), "system")])
def test_prompt_ends_with_the_user(roles: tuple[str, ...], who: str) -> None:
    check_order(conversation("system", "user"), is_prompt=True)
    with pytest.raises(UnusableRow, match=f"the prompt ends with the {who}'s turn"):
        check_order(conversation(*roles), is_prompt=True)


def test_system_turn_that_says_nothing_is_left_out_and_still_counted() -> None:
    turns = turns_of(
        [{"role": "system", "content": ""}, {"role": "user", "content": "Q"}, {"role": "user", "content": "Q"}]
    )
    with pytest.raises(UnusableRow, match="turn 3 is by user"):
        check_order(turns)
    assert without_blank_system(turns) == [Message("user", "Q"), Message("user", "Q")]
