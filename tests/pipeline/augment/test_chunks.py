import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.chunks import chunk_spans

texts = st.text(alphabet=st.sampled_from("ab.!? \n\t。字\u00a0\U0001f600")) | st.text()


@given(texts, st.integers(2, 40), st.floats(0, 0.5))
def test_passages_cover_the_text_within_their_limits(text: str, size: int, share: float) -> None:
    overlap = int(size * share)
    spans = chunk_spans(text, size=size, overlap=overlap)
    covered = {position for start, end in spans for position in range(start, end)}
    assert {position for position, character in enumerate(text) if not character.isspace()} <= covered
    for start, end in spans:
        assert 0 < end - start <= size
        assert text[start:end] == text[start:end].strip()
    for (start, end), (next_start, next_end) in zip(spans, spans[1:], strict=False):
        assert start < next_start
        assert end < next_end
        assert next_start >= end - overlap


def cut(text: str, *, size: int, overlap: int = 0) -> list[str]:
    return [text[start:end] for start, end in chunk_spans(text, size=size, overlap=overlap)]


def test_passages_end_with_paragraphs_where_they_can() -> None:
    text = "One paragraph. Of two sentences.\n\nAnother one. It is here.\n\nThe third."
    assert cut(text, size=60) == ["One paragraph. Of two sentences.\n\nAnother one. It is here.", "The third."]


def test_passages_end_with_sentences_in_a_long_paragraph() -> None:
    assert cut("First sentence here. Second one (there). Third.", size=42) == [
        "First sentence here. Second one (there).",
        "Third.",
    ]
    assert cut("第一句话。第二句话。第三句话。", size=11) == ["第一句话。第二句话。", "第三句话。"]


def test_passages_end_with_words_in_a_long_sentence_and_anywhere_in_a_long_word() -> None:
    assert cut("some words without an end", size=12) == ["some words", "without an", "end"]
    assert cut("x" * 25, size=10) == ["x" * 10, "x" * 10, "x" * 5]


def test_overlap_begins_with_a_sentence() -> None:
    text = "First sentence here. Short one. Third sentence is here."
    assert cut(text, size=35, overlap=15) == ["First sentence here. Short one.", "Short one. Third sentence is here."]


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_no_text_has_no_passages(text: str) -> None:
    assert cut(text, size=10, overlap=5) == []


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "\n" * 1_000_000, '."' * 300_000, "\n " * 300_000 + "x", ". " * 300_000]
)
def test_strange_text_is_cut_in_little_time(text: str) -> None:
    started = time.monotonic()
    chunk_spans(text, size=1000, overlap=100)
    assert time.monotonic() - started < 5
