"""Names of files and folders tell splits where they are words of their own."""

from pathlib import PurePosixPath

import pytest

from pipeline.data.sources.split_names import split_name, splits_of


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train", "train"),
        ("Training_set", "train"),
        ("train-00000-of-00002", "train"),
        ("my.train", "train"),
        ("train2017", "train"),
        ("validation", "validation"),
        ("valid_1", "validation"),
        ("val", "validation"),
        ("dev", "validation"),
        ("eval", "validation"),
        ("test", "test"),
        ("testing", "test"),
        ("latest", None),
        ("constrained", None),
        ("valentine", None),
        ("developer", None),
        ("value", None),
        ("", None),
    ],
)
def test_a_word_names_a_split(text: str, split: str | None) -> None:
    assert split_name(text) == split


def test_the_nearest_name_tells() -> None:
    files = [PurePosixPath(path) for path in ("train/test.csv", "train/rows.csv", "test/train/rows.csv")]
    assert list(splits_of(files).values()) == ["test", "train", "train"]
