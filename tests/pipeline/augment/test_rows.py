import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.rows import row_key, row_of, row_problem, standard_mapping
from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Message
from pipeline.data.recognise import recognise
from tests.pipeline.augment.material import conversation

USER, ASSISTANT = Message("user", "Hi"), Message("assistant", "Hello")
OTHER = Message("assistant", "Go away")
CALL = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look"}}
PICTURES = Message("user", "This or that?", images=("images/a.png", "images/b.png"), image_positions=(4, 13))

EXAMPLES = {
    "messages": Example(1, messages=(Message("system", "Be kind."), USER, ASSISTANT, USER, ASSISTANT)),
    "tools": Example(
        1,
        messages=(USER, Message("assistant", "", tool_calls=(CALL,)), Message("tool", "a cat", name="look"), ASSISTANT),
        tools=(TOOL,),
    ),
    "images": Example(1, messages=(PICTURES, ASSISTANT)),
    "text": Example(1, text="once upon a time"),
    "preference": Example(1, messages=(USER,), chosen=(ASSISTANT,), rejected=(OTHER,)),
    "unpaired_preference": Example(1, messages=(USER,), chosen=(ASSISTANT,), label=False),
    "prompt_only": Example(1, messages=(Message("system", "Think."), USER), extra={"solution": "4"}),
}
COLUMNS = {
    "messages": {"messages"},
    "tools": {"messages", "tools"},
    "images": {"messages", "images"},
    "text": {"text"},
    "preference": {"prompt", "chosen", "rejected"},
    "unpaired_preference": {"prompt", "completion", "label"},
    "prompt_only": {"prompt", "solution"},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_row_becomes_the_same_example_again(name: str) -> None:
    row = json.loads(json.dumps(row_of(EXAMPLES[name])))
    assert row.keys() == COLUMNS[name]
    assert build_example(1, row, standard_mapping(row.keys())) == EXAMPLES[name]
    assert row_problem(row) is None


@pytest.mark.parametrize("name", EXAMPLES)
def test_rows_are_recognised_without_a_mapping(name: str) -> None:
    rows = [row_of(EXAMPLES[name])] * 3
    recognition = recognise(rows)
    assert recognition is not None
    assert recognition.confidence > 0.7
    assert build_example(1, rows[0], recognition.mapping) == EXAMPLES[name]


def test_images_stand_where_they_stood() -> None:
    assert row_of(EXAMPLES["images"])["messages"][0]["content"] == [
        {"type": "text", "text": "This"},
        {"type": "image"},
        {"type": "text", "text": " or that?"},
        {"type": "image"},
    ]


@given(st.text(min_size=1), st.text(min_size=1))
def test_key_is_equal_where_words_are(first: str, second: str) -> None:
    def key(text: str) -> str:
        return row_key({"messages": [{"role": "user", "content": text}]})

    assert key(first) == key(f" {first}\n")
    if first.split() == second.split():
        assert key(first) == key(second)


def test_key_tells_letter_case_system_turn_and_label_apart() -> None:
    rows = [
        row_of(conversation("Why?", "So.")),
        row_of(conversation("why?", "So.")),
        row_of(conversation("Why?", "So.", system="Be kind.")),
        row_of(Example(1, messages=(USER,), chosen=(ASSISTANT,), label=True)),
        row_of(Example(1, messages=(USER,), chosen=(ASSISTANT,), label=False)),
    ]
    assert len({row_key(row) for row in rows}) == len(rows)


def test_key_does_not_see_the_order_of_columns() -> None:
    assert row_key({"a": 1, "b": {"c": 2, "d": 3}}) == row_key({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": []}, "messages is not a list of turns"),
        ({"messages": [{"role": "user"}]}, "turn 1 is empty"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "the last turn is not the assistant's"),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]}, "turn 2 is empty"),
        ({"text": " "}, "text"),
    ],
)
def test_row_by_hand_that_cannot_be_used_says_why(row: dict[str, object], problem: str) -> None:
    assert problem in str(row_problem(row))
