import random

import pytest

from pipeline.augment.config import SystemDropAugmentation
from pipeline.augment.outcome import Refused
from pipeline.augment.system_drop import drop_system
from pipeline.data.example import Example, Message
from tests.pipeline.augment.material import conversation


def drop(example: Example) -> Example | Refused:
    return drop_system(SystemDropAugmentation(), example, random.Random(1))


def test_system_turn_is_gone_and_the_rest_stays() -> None:
    changed = drop(conversation("Why?", "So.", system="Be brief."))
    assert isinstance(changed, Example)
    assert changed.messages == (Message("user", "Why?"), Message("assistant", "So."))


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        (conversation("Why?", "So."), "not_applicable"),
        (conversation("Price?", "It is 42 crowns.", system="Everything costs 42 crowns."), "needs_system_turn"),
        (conversation("Who?", "Ask a@b.org.", system="Our address: a@b.org"), "needs_system_turn"),
        (
            Example(
                1,
                messages=(Message("system", "Use tools."), Message("user", "?"), Message("assistant", "!")),
                tools=({},),
            ),
            "needs_system_turn",
        ),
    ],
)
def test_row_that_has_no_system_turn_or_needs_it_is_refused(example: Example, kind: str) -> None:
    refused = drop(example)
    assert isinstance(refused, Refused)
    assert refused.kind == kind


def test_number_that_the_question_says_too_is_no_reason_to_refuse() -> None:
    assert isinstance(drop(conversation("Is 42 even?", "42 is even.", system="Think of 42.")), Example)
