"""Hashes of word triples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.shingles import MAX_BATCH_TEXTS, Shingler

WORDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=4)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=8)


def triples(text: str) -> set[str]:
    words = text.split(" ")
    return {" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))}


@given(texts=TEXTS)
def test_texts_have_equal_hashes_exactly_where_they_have_equal_triples(texts: list[str]) -> None:
    shingled = Shingler(seed=3).shingle(texts)
    found = [set(shingled.hashes[shingled.offsets[i] : shingled.offsets[i + 1]].tolist()) for i in range(len(texts))]
    expected = [triples(text) for text in texts]
    assert [len(hashes) for hashes in found] == [len(names) for names in expected]
    for one in range(len(texts)):
        for other in range(len(texts)):
            assert len(found[one] & found[other]) == len(expected[one] & expected[other])


def test_hashes_do_not_depend_on_the_other_texts_of_the_batch() -> None:
    shingler = Shingler(seed=3)
    alone = shingler.shingle(["the ruby has two carats"])
    together = shingler.shingle(["an opal " * 20000 + "x", "the ruby has two carats"])
    assert np.array_equal(together.hashes[together.offsets[1] :], alone.hashes)


def test_hashes_of_a_text_ascend_without_repeats() -> None:
    shingled = Shingler(seed=3).shingle(["one two three " * 30 + "four"])
    assert np.all(shingled.hashes[1:] > shingled.hashes[:-1])


def test_another_seed_gives_other_hashes() -> None:
    one, other = (Shingler(seed=seed).shingle(["a b c"]).hashes[0] for seed in (1, 2))
    assert one != other


def test_batch_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=f"{MAX_BATCH_TEXTS} at most"):
        Shingler(seed=1).shingle(["x"] * (MAX_BATCH_TEXTS + 1))
