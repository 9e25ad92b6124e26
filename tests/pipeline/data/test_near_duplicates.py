"""Texts that say the same."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.example import Example, Message
from pipeline.data.near_duplicates import (
    COMPARED_CHARACTERS,
    NearDuplicates,
    exact_groups,
    near_duplicate_groups,
    normalise,
    text_key,
)

VOCABULARY = [f"word{number:04}" for number in range(4000)]


def random_texts(count: int, *, words: int = 40, seed: int = 0) -> list[str]:
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(VOCABULARY, k=words)) for _ in range(count)]


def similarity(one: str, other: str) -> float:
    first, second = (
        {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}
        for words in (one.split(), other.split())
    )
    return len(first & second) / len(first | second)


def test_every_text_with_one_changed_word_is_found_and_nothing_else() -> None:
    texts = random_texts(300)
    copies = [" ".join([*words[:20], "changed", *words[21:]]) for words in map(str.split, texts)]
    assert min(similarity(text, copy) for text, copy in zip(texts, copies, strict=True)) >= 0.8
    assert list(near_duplicate_groups(texts + copies, seed=1)) == [*range(300), *range(300)]


def test_pairs_below_the_threshold_are_not_taken_for_duplicates() -> None:
    texts = random_texts(50, words=30)
    close = [" ".join([*text.split()[:-4], "these", "words", "are", "new"]) for text in texts]
    assert 0.7 < similarity(texts[0], close[0]) < 0.8
    assert list(near_duplicate_groups(texts + close, seed=1)) == list(range(100))
    lower = near_duplicate_groups(texts + close, seed=1, threshold=0.7)
    assert sum(lower[50 + index] == index for index in range(50)) >= 40


def test_groups_are_what_chains_of_duplicates_connect() -> None:
    words = random_texts(1)[0].split()
    chain = [" ".join([*words[step:], *[f"extra{number}" for number in range(step)]]) for step in range(0, 12, 3)]
    assert similarity(chain[0], chain[-1]) < 0.8
    assert list(near_duplicate_groups([*random_texts(5, seed=9), *chain], seed=1)) == [0, 1, 2, 3, 4, 5, 5, 5, 5]


def test_empty_texts_are_alone_and_equal_texts_together() -> None:
    assert list(near_duplicate_groups(["", "a b", "", "a b", "a"])) == [0, 1, 2, 1, 4]
    assert list(exact_groups(["", "a b", "", "a b", "a"])) == [0, 1, 2, 1, 4]
    assert list(near_duplicate_groups([])) == []
    assert list(near_duplicate_groups(["", ""])) == [0, 1]


@given(texts=st.lists(st.text(max_size=30).map(normalise), max_size=30), seed=st.integers(0, 2**32))
def test_groups_hold_their_first_text_and_never_split_equal_ones(texts: list[str], seed: int) -> None:
    groups = list(near_duplicate_groups(texts, seed=seed))
    assert len(groups) == len(texts)
    for index, group in enumerate(groups):
        assert group <= index
        assert groups[group] == group
        assert groups[index] == index or texts[index] != ""
    for equal, group in zip(exact_groups(texts), groups, strict=True):
        assert groups[equal] == group


def test_template_that_most_texts_share_does_not_make_them_alike() -> None:
    template = random_texts(1, words=400, seed=5)[0]
    texts = [f"{template} {text}" for text in random_texts(200, words=20)]
    assert similarity(texts[0], texts[1]) > 0.8
    with NearDuplicates(seed=1) as found:
        for text in [*texts, texts[7].replace(texts[7].split()[-1], "")]:
            found.add(normalise(text))
        assert list(found.groups()) == [*range(200), 7]
        assert found.common_triples == 398


def test_texts_that_are_all_equal_are_one_group() -> None:
    assert set(near_duplicate_groups(["the same text in every row"] * 300)) == {0}


def test_many_texts_that_are_almost_alike_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.near_duplicates._LEAST_ROUND_HASHES", 1000)
    templates = random_texts(3, words=60, seed=5)
    texts = [f"{templates[number % 3]} {text}" for number, text in enumerate(random_texts(300, words=5))]
    with NearDuplicates(seed=1) as found:
        for text in texts:
            found.add(text)
        found.groups()
        assert found.left_out_pairs > 0


def test_temporary_file_lies_in_the_folder_and_is_gone_afterwards(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError):
        near_duplicate_groups(["a"], scratch=missing)
    near_duplicate_groups(["a"], scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_key_is_the_words_of_every_turn_but_the_system_prompt() -> None:
    example = Example(
        1,
        messages=(Message("system", "Be kind."), Message("user", "  What\n\tIS it?")),
        chosen=(Message("assistant", "A RUBY"),),
        rejected=(Message("assistant", "An opal"),),
    )
    assert text_key(example) == "what is it? a ruby an opal"
    assert text_key(Example(2, text="Straße  42")) == "strasse 42"
    call = Message("assistant", "", tool_calls=({"name": "find"},))
    assert "find" in text_key(Example(3, messages=(Message("user", "?"), call)))


def test_each_character_is_a_word_in_writing_without_spaces() -> None:
    assert normalise("红宝石 ruby") == "红 宝 石 ruby"
    row = "这颗红宝石重两克拉产自缅甸的莫谷矿区颜色浓郁而且非常干净没有任何肉眼可见的内含物适合镶嵌"
    assert list(near_duplicate_groups([normalise(row), normalise(row.replace("两", "三"))])) == [0, 0]


def test_only_the_beginning_of_a_very_long_text_is_compared() -> None:
    assert len(normalise("ab " * COMPARED_CHARACTERS)) <= COMPARED_CHARACTERS
