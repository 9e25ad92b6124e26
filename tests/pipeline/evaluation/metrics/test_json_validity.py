"""JSON answers: valid as a whole, and equal by value."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.metrics.json_validity import is_json_object, same, score

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("answer", "valid", "equal"),
    [
        ('{"a": 1, "b": [true, null]}', True, True),
        ('{"b":[true,null],"a":1.0}', True, True),
        ('{"a": true, "b": [true, null]}', True, False),
        ('{"a": 1, "b": [null, true]}', True, False),
        ('{"a": 1, "b": [true, null], "c": 2}', True, False),
        ('Here it is: {"a": 1, "b": [true, null]}', False, False),
        ('```json\n{"a": 1, "b": [true, null]}\n```', False, False),
        ('{"a": 1, "b": [true, null]', False, False),
        ('{"a": NaN}', False, False),
        ("", False, False),
        ("[" * 100_000, False, False),
        ("[" * 900 + "]" * 900, True, False),
    ],
)
def test_answer_is_valid_and_equal(answer: str, valid: bool, equal: bool) -> None:
    right = '{"a": 1, "b": [true, null]}'
    assert score([answer], [right]) == {"json_valid": 100.0 * valid, "json_equal": 100.0 * equal}


def test_nothing_equals_a_right_answer_that_is_no_json() -> None:
    assert score(["{}", "oops"], ["oops", "oops"]) == {"json_valid": 50.0, "json_equal": 0.0}


def test_deep_nesting_does_not_fail() -> None:
    deep = "[" * 900 + "]" * 900
    assert score([deep], [deep])["json_valid"] == 100.0


@given(values)
def test_layout_does_not_matter(value: object) -> None:
    layouts = (json.dumps(value), json.dumps(value, indent=3, sort_keys=True, ensure_ascii=False))
    assert score([layouts[0]], [layouts[1]]) == {"json_valid": 100.0, "json_equal": 100.0}


@given(values, values)
def test_equality_is_that_of_canonical_text(one: object, other: object) -> None:
    def canonical(value: object) -> object:
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return (type(value).__name__, value)
        if isinstance(value, (int, float)):
            return ("number", value)
        if isinstance(value, list):
            return ("list", tuple(map(canonical, value)))
        return ("object", tuple(sorted((key, canonical(item)) for key, item in value.items())))

    try:
        expected = canonical(one) == canonical(other)
    except TypeError:
        return
    assert same(one, other) == expected


def test_numbers_alone_are_no_objects() -> None:
    assert [is_json_object(text) for text in ('{"a": 1}', "[1]", "12", '"text"', "Paris")] == [True, True] + [False] * 3
