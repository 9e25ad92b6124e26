import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.config import TyposAugmentation
from pipeline.augment.outcome import Refused
from pipeline.augment.typos import add_typos, misspell
from pipeline.data.example import Example, Message
from tests.pipeline.augment.material import conversation

QUESTION = "Please describe the beautiful mineral that scratches ordinary glass without effort"


def words_changed(before: Example, after: Example) -> list[tuple[str, str]]:
    assert before.messages and after.messages
    pairs = zip(before.messages[0].content.split(), after.messages[0].content.split(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


@given(st.from_regex(r"[A-Za-zÄÖÜäöüéß]{2,20}", fullmatch=True), st.integers())
def test_slip_changes_the_word_but_not_its_first_letter(word: str, seed: int) -> None:
    changed = misspell(word, random.Random(seed))
    assert changed != word
    assert changed[0] == word[0]
    assert abs(len(changed) - len(word)) <= 1


def test_rate_is_the_share_of_free_words() -> None:
    example = conversation(QUESTION, "It is hard.")
    for rate, expected in ((0.01, 1), (0.2, 2), (0.5, 5)):
        changed = add_typos(TyposAugmentation(rate=rate), example, random.Random(1))
        assert isinstance(changed, Example)
        assert len(words_changed(example, changed)) == expected


def test_answer_system_turn_and_order_stay() -> None:
    example = conversation(QUESTION, "It is hard.", system="Answer briefly please")
    changed = add_typos(TyposAugmentation(rate=0.5), example, random.Random(1))
    assert isinstance(changed, Example) and changed.messages and example.messages
    assert [message.role for message in changed.messages] == ["system", "user", "assistant"]
    assert (changed.messages[0], changed.messages[2]) == (example.messages[0], example.messages[2])


def test_words_of_the_answer_short_words_capitals_and_numbers_keep_their_spelling() -> None:
    example = conversation("Order NASA Quartz 4711 at once now", "Quartz")
    assert {
        tuple(words_changed(example, changed))[0][0]
        for seed in range(50)
        if isinstance(changed := add_typos(TyposAugmentation(rate=0.5), example, random.Random(seed)), Example)
    } <= {"Order", "once"}


@pytest.mark.parametrize("question", ["Is it so?", "4711", "字字字字字", "한국어입니다", "`print`"])
def test_question_without_a_free_word_is_refused(question: str) -> None:
    refused = add_typos(TyposAugmentation(), conversation(question, "No.", row=8), random.Random(1))
    assert isinstance(refused, Refused)
    assert refused.kind == "nothing_to_alter"
    assert "row 8" in refused.reason


def test_every_question_of_a_conversation_may_get_slips() -> None:
    turns = tuple(
        Message(role, "wonderful question" if role == "user" else "yes") for role in ["user", "assistant"] * 6
    )
    changed = add_typos(TyposAugmentation(rate=0.5), Example(1, messages=turns), random.Random(3))
    assert isinstance(changed, Example) and changed.messages
    assert sum(old != new for old, new in zip(turns, changed.messages, strict=True)) > 1
    assert all(old == new for old, new in zip(turns, changed.messages, strict=True) if old.role == "assistant")
