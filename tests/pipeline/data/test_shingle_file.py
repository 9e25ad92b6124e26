"""Hashes of texts on disk."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.shingle_file import ShingleFile
from pipeline.data.shingles import ShingledTexts

BATCHES = st.lists(st.lists(st.lists(st.integers(0, 2**51 - 1), min_size=1, max_size=6), min_size=1), min_size=1)


def shingled(texts: list[list[int]]) -> ShingledTexts:
    return ShingledTexts(
        np.array([number for text in texts for number in text], dtype=np.uint64),
        np.cumsum([0, *map(len, texts)]),
    )


@given(batches=BATCHES, data=st.data())
def test_texts_are_read_as_they_were_written(batches: list[list[list[int]]], data: st.DataObject) -> None:
    texts = [text for batch in batches for text in batch]
    wanted = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1))
    with ShingleFile(None) as file:
        for batch in batches:
            file.append(shingled(batch))
        assert file.sizes().tolist() == [len(text) for text in texts]
        found = file.read(np.array(wanted))
        assert found.hashes.tolist() == [number for index in wanted for number in texts[index]]
        assert np.diff(found.offsets).tolist() == [len(texts[index]) for index in wanted]
        assert np.concatenate(list(file.batches(np.array(wanted)))).tolist() == wanted


def test_hashes_of_most_texts_are_left_out() -> None:
    texts = [[1, 2, 1000 + number] if number % 3 else [2, 1000 + number] for number in range(200)]
    with ShingleFile(None) as file:
        file.append(shingled(texts))
        file.leave_out_common(np.arange(200))
        assert file.common.tolist() == [1, 2]
        found = file.read(np.array([0, 1]))
        assert found.hashes.tolist() == [1000, 1001]
        assert found.offsets.tolist() == [0, 1, 2]


def test_few_texts_have_no_common_form() -> None:
    with ShingleFile(None) as file:
        file.append(shingled([[1, 2]] * 99))
        file.leave_out_common(np.arange(99))
        assert file.common.tolist() == []
        assert file.read(np.array([5])).hashes.tolist() == [1, 2]
