import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.answers import NoJson, clean_text, conversation_row, find_items
from pipeline.augment.outcome import Refused

ITEMS = [{"prompt": "Why {so}?", "completion": "Because [it] is."}]


@pytest.mark.parametrize(
    "frame",
    [
        "%s",
        "```json\n%s\n```",
        "Certainly! Here are the rows:\n\n%s\n\nTell me if you want more {rows}.",
        "<think>They want {json}. I could write [1, 2]...</think>\n%s",
        "The set {1, 2} is small. %s",
    ],
)
def test_items_are_found_whatever_the_model_writes_around_them(frame: str) -> None:
    assert find_items(frame % json.dumps({"rows": ITEMS}), "rows") == ITEMS


def test_items_are_found_in_a_bare_list() -> None:
    assert find_items(f"Here: {json.dumps(ITEMS)}", "rows") == ITEMS


def test_items_are_found_with_real_line_feeds_in_their_texts() -> None:
    assert find_items('{"rows": [{"prompt": "one\ntwo"}]}', "rows") == [{"prompt": "one\ntwo"}]


def test_items_may_be_none() -> None:
    assert find_items('{"rows": []}', "rows") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("I cannot do that.", "no JSON"),
        ('{"rows": [{"prompt": "cut o', "no JSON"),
        ('{"answer": 42}', "no list called rows"),
    ],
)
def test_answer_without_items_says_why(text: str, reason: str) -> None:
    with pytest.raises(NoJson, match=reason):
        find_items(text, "rows")


@pytest.mark.parametrize("text", ["[" * 2_000_000, '{"a":' * 300_000, "<think>" * 300_000, '{"a": "' + "[{" * 500_000])
def test_hostile_answer_is_read_in_little_time(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(NoJson):
        find_items(text, "rows")
    assert time.monotonic() - started < 5


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(_json, max_size=4))
def test_items_survive_as_they_were_written(items: list[object]) -> None:
    assert find_items(f"Sure:\n{json.dumps({'rows': items}, ensure_ascii=False)}\nDone.", "rows") == items


def test_text_loses_white_space_around_it_and_nothing_else() -> None:
    assert clean_text("\n two\n\n lines \u200d \n") == "two\n\n lines \u200d"


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "wrong_shape"), (3, "wrong_shape"), (" \n", "empty"), ("\ud800", "wrong_shape")]
)
def test_what_is_no_text_is_refused(value: object, kind: str) -> None:
    refused = clean_text(value)
    assert isinstance(refused, Refused)
    assert refused.kind == kind


def test_conversation_has_the_system_turn_only_where_there_is_one() -> None:
    assert conversation_row("q", "a") == {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    }
    with_system = conversation_row("q", "a", system="Be brief.")
    assert isinstance(with_system, dict)
    assert with_system["messages"][0] == {"role": "system", "content": "Be brief."}
    assert isinstance(conversation_row("q", ""), Refused)
