import random
from typing import Literal

import pytest

from pipeline.augment.config import CaseAugmentation
from pipeline.augment.letter_case import change_case
from pipeline.augment.outcome import Refused
from pipeline.data.example import Example
from tests.pipeline.augment.material import conversation

QUESTION = "Hello! Is Quartz, at 3.5 cm, harder than Talc? See https://Example.org/A."


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("lower", "hello! is Quartz, at 3.5 cm, harder than talc? see https://Example.org/A."),
        ("upper", "HELLO! IS Quartz, AT 3.5 CM, HARDER THAN TALC? SEE https://Example.org/A."),
        ("no_punctuation", "Hello Is Quartz at 3.5 cm harder than Talc See https://Example.org/A."),
    ],
)
def test_question_is_typed_in_the_way_asked_for(
    style: Literal["lower", "upper", "no_punctuation"], expected: str
) -> None:
    example = conversation(QUESTION, "Yes: Quartz!")
    changed = change_case(CaseAugmentation(style=style), example, random.Random(1))
    assert isinstance(changed, Example) and changed.messages and example.messages
    assert changed.messages[0].content == expected
    assert changed.messages[1] == example.messages[1]


@pytest.mark.parametrize(
    ("style", "question"),
    [("lower", "all small"), ("upper", "ALL BIG"), ("no_punctuation", "none at 3.5"), ("no_punctuation", "?!")],
)
def test_question_that_is_typed_like_that_is_refused(
    style: Literal["lower", "upper", "no_punctuation"], question: str
) -> None:
    refused = change_case(CaseAugmentation(style=style), conversation(question, "Yes.", row=5), random.Random(1))
    assert isinstance(refused, Refused)
    assert "row 5" in refused.reason
