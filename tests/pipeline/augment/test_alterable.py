import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.alterable import facts_in, numbers_in, repeated_words, stretches_of
from pipeline.augment.example_turns import user_texts
from pipeline.data.example import Example, Message
from tests.pipeline.augment.material import conversation


@given(st.text(), st.frozensets(st.text()))
def test_pieces_put_together_are_the_text(text: str, words: frozenset[str]) -> None:
    assert "".join(stretch.text for stretch in stretches_of(text, words)) == text


@pytest.mark.parametrize(
    "fixed",
    [
        "`my code`",
        "```\nprint('hello world')\n```",
        "https://example.org/a-b",
        "me@example.org",
        "/etc/hosts",
        "{placeholder}",
        "<b>",
        '"to be quoted"',
        "“typographic”",
        "3.5",
        "A4",
        "snake_case",
        "#topic",
    ],
)
def test_what_means_what_it_spells_is_fixed(fixed: str) -> None:
    stretches = stretches_of(f"please read {fixed} now", frozenset())
    assert [stretch.text for stretch in stretches if not stretch.is_free] == [fixed]


def test_words_of_the_answer_are_fixed_in_any_case() -> None:
    example = conversation("Is QUARTZ harder than talc?", "Quartz is harder.")
    stretches = stretches_of(user_texts(example)[0], repeated_words(example))
    assert [stretch.text for stretch in stretches if not stretch.is_free] == ["Is", "QUARTZ", "harder"]


def test_words_of_both_answers_of_a_pair_are_fixed() -> None:
    example = Example(
        1,
        messages=(Message("user", "?"),),
        chosen=(Message("assistant", "good"),),
        rejected=(Message("assistant", "bad"),),
    )
    assert repeated_words(example) == {"good", "bad"}


@pytest.mark.parametrize(
    "text", ["字" * 300_000, "`" * 300_000, "“" * 300_000, "{<" * 200_000, "a" * 300_000 + "1", "." * 300_000]
)
def test_strange_text_is_read_in_little_time(text: str) -> None:
    started = time.monotonic()
    stretches_of(text, frozenset())
    facts_in(text)
    assert time.monotonic() - started < 3


def test_facts_are_numbers_and_addresses() -> None:
    assert numbers_in("From 3.5 to 1,000 at 12:30, 7.") == {"3.5", "1,000", "12:30", "7"}
    assert facts_in("Write to <me@example.org> or see https://example.org, line 4!") == {
        "me@example.org",
        "https://example.org",
        "4",
    }
