"""A data set with the rows that were accepted: what is kept, what is added, and which split each row stands in."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.augment import ReviewFolder
from pipeline.augment.merge import merge_rows
from pipeline.augment.outcome import MadeFrom, Outcome
from pipeline.data.example import Row
from pipeline.data.import_source import import_source
from pipeline.data.mapping import Mapping
from pipeline.data.partition import EVALUATION_SPLITS
from pipeline.data.row_store import RowStore
from pipeline.data_config import ImportJobConfig
from pipeline.errors import DataProblem
from tests.pipeline.data.integrity_stores import CHAT, PAIR, PREFERENCE, PROMPTS, TEXT, make_store, pairs

GENERATED = {"messages": [{"role": "user", "content": "New?"}, {"role": "assistant", "content": "Quite."}]}


def review_of(folder: Path, *rows: Row) -> ReviewFolder:
    """A folder in which these rows were made and accepted."""
    review = ReviewFolder(folder / "review")
    review.add(Outcome(request="r", method="synthesis", made_from=MadeFrom(rows=(1,)), rows=rows))
    review.decide([row.id for row in review.rows()], "accepted")
    return review


def read_again(target: Path, mapping: Mapping, folder: Path) -> RowStore:
    config = ImportJobConfig(name="merged", source=str(target), mapping=mapping)
    import_source(config, folder, downloads=folder.with_name("downloads"), progress=lambda _: None)
    return RowStore(folder)


def merged(store: RowStore, review: ReviewFolder, folder: Path) -> tuple[RowStore, Any]:
    done = merge_rows(store, review, target=folder / "merged.zip")
    return read_again(folder / "merged.zip", done.mapping, folder / "again"), done


def test_rows_keep_their_splits_and_new_ones_are_trained_on(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", pairs(6), PAIR, splits={"test": pairs(3, first=6)})
    again, done = merged(store, review_of(tmp_path, GENERATED), tmp_path)
    assert (done.kept, done.added, done.left_out, again.summary.splits) == (
        9,
        {"synthesis": 1},
        0,
        {"train": 7, "test": 3},
    )
    texts = [item.row["messages"][1]["content"] for item in again.rows(split="test")]
    assert texts == [row["answer"] for row in pairs(3, first=6)]
    assert GENERATED in [item.row for item in again.rows(split="train")]


def test_splits_with_unusual_names_keep_their_part(tmp_path: Path) -> None:
    splits = {"validation": pairs(2, first=4), "later": pairs(3, first=6)}
    store = make_store(tmp_path / "store", pairs(4), PAIR, splits=splits)
    again, _ = merged(store, review_of(tmp_path, GENERATED), tmp_path)
    # What no run trained on or evaluated with is still neither.
    assert again.summary.splits == {"train": 5, "validation": 2, "test": 3}
    assert EVALUATION_SPLITS.index("validation") < EVALUATION_SPLITS.index("test")


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", [*pairs(3), {"question": "And?", "answer": None}], PAIR)
    again, done = merged(store, review_of(tmp_path, GENERATED), tmp_path)
    assert (done.kept, done.left_out, len(again)) == (3, 1, 4)


@pytest.mark.parametrize(
    ("mapping", "row", "made"),
    [
        (TEXT, {"text": "Braces {stay} as they are.\n\tÄ"}, {"text": "Another."}),
        (
            PREFERENCE,
            {"prompt": "A?", "chosen": "Yes.", "rejected": "No."},
            {
                "prompt": [{"role": "user", "content": "B?"}],
                "chosen": [{"role": "assistant", "content": "Yes."}],
                "rejected": [{"role": "assistant", "content": "No."}],
            },
        ),
        (
            PROMPTS,
            {"prompt": "2+2?", "chosen": "a column for rewards"},
            {"prompt": [{"role": "user", "content": "3+3?"}], "chosen": "another"},
        ),
        (
            CHAT,
            {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]},
            GENERATED,
        ),
    ],
)
def test_every_format_is_read_again_as_the_same_format(tmp_path: Path, mapping: Mapping, row: Row, made: Row) -> None:
    store = make_store(tmp_path / "store", [row], mapping)
    again, done = merged(store, review_of(tmp_path, made), tmp_path)
    assert (done.mapping.format, len(again), again.row(1).row) == (mapping.format, 2, made)


def test_images_go_along(tmp_path: Path) -> None:
    pixel = (Path(__file__).parents[2] / "fixtures" / "datasets" / "images").glob("*.png")
    picture = next(iter(sorted(pixel)))
    source = tmp_path / "source"
    source.mkdir()
    (source / picture.name).write_bytes(picture.read_bytes())
    row = {"image": picture.name, "question": "Which stone?", "answer": "An opal."}
    (source / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    config = ImportJobConfig(name="stones", source=str(source))
    import_source(config, tmp_path / "store", downloads=tmp_path / "downloads", progress=lambda _: None)
    store = RowStore(tmp_path / "store")
    again, _ = merged(store, review_of(tmp_path, GENERATED), tmp_path)
    (image,) = again.row(0).row["images"]
    assert (again.folder / image["path"]).read_bytes() == picture.read_bytes()


def test_nothing_is_left_behind_where_nothing_is_added(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", pairs(3), PAIR)
    with pytest.raises(DataProblem, match="No row was accepted"):
        merge_rows(store, ReviewFolder(tmp_path / "empty"), target=tmp_path / "merged.zip")
    first = pairs(1)[0]
    turns = [("user", first["question"]), ("assistant", first["answer"])]
    copy = {"messages": [{"role": role, "content": text} for role, text in turns]}
    with pytest.raises(DataProblem, match="One accepted row is an exact copy of row 1"):
        merge_rows(store, review_of(tmp_path, copy), target=tmp_path / "merged.zip")
    assert list(tmp_path.glob("merged*")) == []


def test_file_is_stored_without_compression(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", pairs(3), PAIR)
    merge_rows(store, review_of(tmp_path, GENERATED), target=tmp_path / "merged.zip")
    with zipfile.ZipFile(tmp_path / "merged.zip") as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
