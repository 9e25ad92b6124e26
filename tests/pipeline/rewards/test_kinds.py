"""The rewards that look at the answer itself: what each gives, and what it cannot be made from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import RewardFailed
from pipeline.reward_config import Reward, reward_names
from pipeline.rewards import reward_for
from pipeline.rewards.numeric import last_number
from pipeline.rewards.scorer import build_scorer

ANY_REWARD: TypeAdapter[Any] = TypeAdapter(Reward)
SCHEMA = {"type": "object", "required": ["stone"], "properties": {"stone": {"type": "string", "pattern": "^[a-z]+$"}}}

# Each a belongs to one repetition or to two: more ways to read the text than a search can ever try.
ENDLESS, HOSTILE = "^(a|aa)+$", "a" * 60 + "b"


def scores(reward: dict[str, Any], answers: list[str], **columns: list[Any]) -> list[float]:
    config = ANY_REWARD.validate_python(reward)
    return build_scorer("mine", config).score(["?"] * len(answers), answers, columns)


def score(reward: dict[str, Any], answer: str, right: Any = None) -> float:
    (given,) = scores(reward, [answer], right=[right])
    return given


@pytest.mark.parametrize(
    ("answer", "right", "ignore_case", "expected"),
    [
        (" Opal\n", "Opal ", False, 1.0),
        ("opal", "Opal", False, 0.0),
        ("opal", "Opal", True, 1.0),
        ("STRASSE", "Straße", True, 1.0),
        ("7", 7, False, 1.0),
        ("true", True, False, 1.0),
        ("Lyon", ["Paris", "Lyon"], False, 1.0),
        ("Nice", ["Paris", "Lyon"], False, 0.0),
        ('{"a":1}', {"a": 1}, False, 1.0),
    ],
)
def test_exact_match(answer: str, right: Any, ignore_case: bool, expected: float) -> None:
    assert score({"kind": "exact_match", "column": "right", "ignore_case": ignore_case}, answer, right) == expected


def test_contains() -> None:
    reward = {"kind": "contains", "column": "right"}
    assert scores(reward, ["An opal.", "A ruby."], right=["opal", "opal"]) == [1.0, 0.0]
    assert score({**reward, "ignore_case": True}, "An OPAL.", "opal") == 1.0
    assert score(reward, "The count is 12.", 12) == 1.0


def test_regex_matches_anywhere_and_over_lines() -> None:
    assert scores({"kind": "regex", "pattern": "so.*end"}, ["and so\nthe end", "so"]) == [1.0, 0.0]


def test_regex_group_is_compared_with_the_column() -> None:
    reward = {"kind": "regex", "pattern": r"answer: (\w+)|none", "column": "right"}
    found = scores(reward, ["answer: opal", "answer: ruby", "none", ""], right=["opal"] * 4)
    assert found == [1.0, 0.0, 0.0, 0.0]


def test_regex_that_backtracks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rewards.bounded_regex.LONGEST_SEARCH_SECONDS", 0.02)
    endless = {"kind": "regex", "pattern": ENDLESS}
    assert scores(endless, [HOSTILE, "aaa"]) == [0.0, 1.0]
    with pytest.raises(RewardFailed, match=r"took more than 0.02 s in 20 answers. Write it without a repetition"):
        scores(endless, [HOSTILE] * 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 12.", 12.0),
        ("1,234.5 carats", 1234.5),
        ("10-5", 5.0),
        ("about -3", -3.0),
        ("about \N{MINUS SIGN}3", -3.0),
        ("7 of 9", 9.0),
        ("1e3", 1000.0),
        ("x = .25", 0.25),
        ("#### 72", 72.0),
        ("none", None),
        ("", None),
    ],
)
def test_last_number(text: str, expected: float | None) -> None:
    assert last_number(text) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{:.6g}", "{!r}", "{:,.3f}"]))
def test_numbers_are_read_back(value: float, form: str) -> None:
    written = form.format(value)
    assert last_number(f"So it is {written}.") == float(written.replace(",", ""))


def test_numeric_within_the_tolerance() -> None:
    reward = {"kind": "numeric", "column": "right", "tolerance": 0.01}
    found = scores(reward, ["100.5", "102", "no", "9" * 400], right=[100, "about 100", 100, 100])
    assert found == [1.0, 0.0, 0.0, 0.0]
    assert score({"kind": "numeric", "column": "right"}, "0", 0) == 1.0


def test_json_schema() -> None:
    reward = {"kind": "json_schema", "json_schema": SCHEMA}
    found = scores(reward, ['{"stone":"opal"}', '{"stone":"Opal"}', "[]", "opal", "", '{"stone":'])
    assert found == [1.0, 0.5, 0.5, 0.0, 0.0, 0.0]
    assert scores({"kind": "json_schema"}, [' {"a": 1}\n', "NaN", "[" * 100_000, "9" * 5_000]) == [1.0, 0.0, 0.0, 0.0]


def test_json_schema_may_be_text() -> None:
    assert score({"kind": "json_schema", "json_schema": '{"type": "array"}'}, "[1]") == 1.0


def test_patterns_of_a_schema_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rewards.bounded_regex.LONGEST_SEARCH_SECONDS", 0.02)
    assert score({"kind": "json_schema", "json_schema": {"pattern": ENDLESS}}, f'"{HOSTILE}"') == 0.5
    closed = {"patternProperties": {ENDLESS: {"type": "integer"}}, "additionalProperties": False}
    answers = [f'{{"{HOSTILE}": 1}}', '{"aaa": 1}', '{"aaa": "x"}']
    assert scores({"kind": "json_schema", "json_schema": closed}, answers) == [0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<think>so\nso</think>\n<answer>5</answer>\n", 1.0),
        ("<think>so</think><answer></answer>", 0.5),
        ("<answer>5</answer><think>so</think>", 0.5),
        ("Well: <think>so</think><answer>5</answer>", 0.5),
        ("<think>so</think><think>so</think><answer>5</answer>", 0.25),
        ("<think>so</think>", 0.25),
        ("<think>so", 0.125),
        ("5", 0.0),
    ],
)
def test_tags(answer: str, expected: float) -> None:
    assert score({"kind": "tags", "tags": ["think", "answer"]}, answer) == expected


@pytest.mark.parametrize(
    ("characters", "expected"), [(0, 0.0), (5, 0.5), (10, 1.0), (20, 1.0), (30, 0.5), (40, 0.0), (400, 0.0)]
)
def test_length(characters: int, expected: float) -> None:
    assert score({"kind": "length", "minimum": 10, "maximum": 20}, f" {'x' * characters}\n") == expected


@given(st.text(), st.sampled_from(["tags", "length", "json_schema", "regex"]))
def test_scores_lie_between_nothing_and_all(answer: str, kind: str) -> None:
    assert 0 <= score({"kind": kind, **({"pattern": "[a-f]+$"} if kind == "regex" else {})}, answer) <= 1


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ({"kind": "regex", "pattern": "("}, r"The reward mine cannot be computed: '\(' is no regular expression"),
        ({"kind": "regex", "pattern": "a", "column": "right"}, "'a' has no group to compare with the column 'right'"),
        ({"kind": "json_schema", "json_schema": {"type": "sting"}}, "its JSON schema is wrong at type: 'sting'"),
        ({"kind": "json_schema", "json_schema": {"properties": {"a": {"pattern": "("}}}}, "at properties/a/pattern"),
        (
            {"kind": "json_schema", "json_schema": {"$ref": "https://example.com/s"}},
            "refers to 'https://example.com/s'",
        ),
        ({"kind": "contains", "column": "answr"}, "the data set has no column 'answr'. Its columns are: right."),
    ],
)
def test_reward_that_cannot_be_used_says_why(reward: dict[str, Any], message: str) -> None:
    with pytest.raises(RewardFailed, match=message):
        score(reward, "1", "x")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ({"kind": "length", "minimum": 9, "maximum": 3}, "asks for at least 9 and at most 3 characters"),
        ({"kind": "tags", "tags": ["a", "a"]}, "names a tag twice"),
        ({"kind": "tags", "tags": ["<a>"]}, "String should match pattern"),
        ({"kind": "judge", "base_url": "example.com", "model": "m"}, "This is no address of a server"),
        ({"kind": "length", "name": "a/b"}, "String should match pattern"),
        ({"kind": "regex"}, "Field required"),
    ],
)
def test_configuration_that_is_none_is_refused(reward: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ANY_REWARD.validate_python(reward)


def test_rewards_have_different_names() -> None:
    rewards = [ANY_REWARD.validate_python({"kind": "length", "name": name}) for name in (None, "length_2", "", "short")]
    assert reward_names(rewards) == ("length", "length_2", "length_3", "short")
    with pytest.raises(ValueError, match="two rewards are called short"):
        reward_names([rewards[3], rewards[3]])


def test_every_kind_has_its_module() -> None:
    kinds = [part["properties"]["kind"]["const"] for part in ANY_REWARD.json_schema()["$defs"].values()]
    assert len(kinds) == 9
    assert all(callable(reward_for(kind).build) for kind in kinds)
