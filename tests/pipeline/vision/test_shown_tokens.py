"""Rows with images before a run: their tokens and lengths are the trainer's."""

from pathlib import Path

import pytest
from transformers import ProcessorMixin

from pipeline.config import ModelConfig
from pipeline.data.build_example import build_example
from pipeline.data.example import Example
from pipeline.data.examples import read_examples
from pipeline.data.integrity.token_lengths import check_tokens
from pipeline.data.last_tokenizer import LastTokenizer
from pipeline.data.mapping import Mapping
from pipeline.data.open_data import open_data
from pipeline.data.row_store import RowStore
from pipeline.data.token_view import view_tokens
from pipeline.data_config import DatasetConfig
from pipeline.errors import DataProblem, ModelUnavailable
from pipeline.row_encoder import IGNORED
from pipeline.vision.images import keep_readable
from pipeline.vision.rows import ImageRow, ImageRowEncoder


@pytest.fixture
def store(squares: Path, tmp_path: Path) -> RowStore:
    return open_data(str(squares), imports=tmp_path / "imports")


def mapping_of(store: RowStore) -> Mapping:
    assert store.summary.recognition is not None
    return store.summary.recognition.mapping


def first_example(store: RowStore) -> Example:
    item = store.row(0)
    return build_example(item.number, item.row, mapping_of(store), columns=store.summary.columns)


def trainers_rows(store: RowStore, processor: ProcessorMixin) -> list[ImageRow]:
    found = keep_readable(read_examples(store, DatasetConfig(path=str(store.folder))), store.folder)
    return ImageRowEncoder(processor, train_on="assistant").encode(found.examples, on_dropped=[].append)


def test_shown_tokens_are_the_trainers(store: RowStore, tiny_seeing: Path) -> None:
    tokenizer, processor = LastTokenizer().load(ModelConfig(base_model=str(tiny_seeing)), store)
    assert processor is not None
    (sequence,) = view_tokens(
        first_example(store),
        tokenizer,
        train_on="assistant",
        max_length=None,
        processor=processor,
        folder=store.folder,
    )
    row = trainers_rows(store, processor)[0]
    assert [token["id"] for token in sequence["tokens"]] == row.input_ids
    shown = [token["state"] == "trained" for token in sequence["tokens"]]
    assert shown == [label != IGNORED for label in row.labels]
    assert "".join(token["text"] for token in sequence["tokens"]).count("<image_soft_token>") == 4


def test_lengths_count_the_tokens_of_images(store: RowStore, tiny_seeing: Path) -> None:
    tokenizer, processor = LastTokenizer().load(ModelConfig(base_model=str(tiny_seeing)), store)
    assert processor is not None
    lost = store.row(3)
    (store.folder / lost.row["image"]["path"]).unlink()
    report = check_tokens(
        store,
        mapping_of(store),
        tokenizer=tokenizer,
        max_length=None,
        train_on="assistant",
        progress=lambda share, message: None,
        processor=processor,
    )
    rows = trainers_rows(store, processor)
    assert (report.rows, report.tokens, report.trained_tokens) == (
        23,
        sum(row.length for row in rows),
        sum(row.trained_tokens for row in rows),
    )
    (finding,) = [finding for finding in report.findings if finding.code == "unrenderable_rows"]
    assert finding.rows == [lost.number]


def test_row_whose_image_is_lost_is_told(store: RowStore, tiny_seeing: Path) -> None:
    tokenizer, processor = LastTokenizer().load(ModelConfig(base_model=str(tiny_seeing)), store)
    example = first_example(store)
    assert example.messages is not None
    (store.folder / example.messages[0].images[0]).unlink()
    with pytest.raises(DataProblem, match=r"^Row 1 cannot be rendered: the image .* is not there\.$"):
        view_tokens(example, tokenizer, train_on="assistant", max_length=None, processor=processor, folder=store.folder)


def test_text_model_is_named_for_what_it_is(store: RowStore, tiny_gemma: Path) -> None:
    with pytest.raises(ModelUnavailable, match="reads text only"):
        LastTokenizer().load(ModelConfig(base_model=str(tiny_gemma)), store)


def test_tokenizer_is_loaded_when_the_model_or_the_kind_of_rows_changes(
    store: RowStore, tiny_seeing: Path, chats: Path, tmp_path: Path
) -> None:
    last, config = LastTokenizer(), ModelConfig(base_model=str(tiny_seeing))
    first = last.load(config, store)
    assert last.load(config, store) == first
    text = last.load(config, open_data(str(chats), imports=tmp_path / "imports"))
    assert text[1] is None
    assert last.load(config, store)[1] is not None
