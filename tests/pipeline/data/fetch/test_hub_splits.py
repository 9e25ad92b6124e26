"""Which files make up which split: the same ones as for the `datasets` library."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset_builder
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.fetch.hub_splits import read_layout
from pipeline.errors import DataProblem

STEMS = (
    "train",
    "test",
    "validation",
    "dev",
    "data",
    "part_1",
    "training set",
    "my-test",
    "trainer",
    "train-00000-of-00002",
    "train-00001-of-00002",
    "extra-00000-of-00001",
)
FOLDERS = ("", "data/", "train/", "test/", "raw/val/", "en/", "train_2/deep/")
PATHS = st.lists(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(STEMS)).map("".join), min_size=1, max_size=7, unique=True
)


def splits_of_library(
    folder: Path, paths: list[str], header: dict[str, Any], subset: str | None
) -> dict[str, set[str]]:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}\n")
    if header:
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n")
    builder = load_dataset_builder(str(folder), name=subset)
    files: dict[str, list[str]] = builder.config.data_files
    return {
        str(split): {Path(name).resolve().relative_to(folder.resolve()).as_posix() for name in names}
        for split, names in files.items()
    }


@settings(max_examples=60, deadline=None)
@given(paths=PATHS, suffix=st.sampled_from([".jsonl", ".csv", ".parquet", ".txt"]))
def test_splits_by_name_are_those_of_the_library(paths: list[str], suffix: str) -> None:
    names = [f"{path}{suffix}" for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        expected = splits_of_library(Path(folder), [*names, ".gitattributes", "LICENSE"], {}, None)
    layout = read_layout([*names, ".gitattributes", "LICENSE"], {})
    assert {split: set(files) for split, files in layout.subsets["default"].files.items()} == expected


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"data_files": "*.csv"}, ["a.csv", "b.csv", "deep/c.csv"]),
        ({"data_files": "deep/**"}, ["a.csv", "deep/b.csv", "deep/er/c.csv"]),
        ({"data_files": ["a.csv", "deep/b.csv"]}, ["a.csv", "deep/b.csv", "deep/c.csv"]),
        (
            {"data_files": [{"split": "gold", "path": "g/*"}, {"split": "test", "path": ["t.csv", "u.csv"]}]},
            ["g/1.csv", "g/2.csv", "t.csv", "u.csv", "v.csv"],
        ),
        ({"data_dir": "en"}, ["en/train.csv", "en/test.csv", "de/train.csv"]),
        ({"data_dir": "en", "data_files": "x-*"}, ["en/x-1.csv", "x-2.csv"]),
    ],
)
def test_splits_of_a_readme_are_those_of_the_library(config: dict[str, Any], paths: list[str], tmp_path: Path) -> None:
    header = {"configs": [{"config_name": "one", **config}]}
    expected = splits_of_library(tmp_path, paths, header, "one")
    layout = read_layout(paths, header)
    assert layout.default == "one"
    assert {split: set(files) for split, files in layout.subsets["one"].files.items()} == expected


def test_most_frequent_kind_is_the_data_set() -> None:
    layout = read_layout(["a.jsonl", "b.jsonl", "notes.txt", "c.jsonl.gz"], {})
    assert layout.subsets["default"].files == {"train": ("a.jsonl", "b.jsonl", "c.jsonl.gz")}


def test_parquet_wins_where_every_file_is_there_twice() -> None:
    layout = read_layout(["train.csv", "train.parquet"], {})
    assert layout.subsets["default"].files == {"train": ("train.parquet",)}


def test_table_of_images_belongs_to_the_images() -> None:
    layout = read_layout(["train/metadata.jsonl", "train/1.png", "train/2.png", "stray.csv"], {})
    assert layout.subsets["default"].files == {"train": ("train/1.png", "train/2.png", "train/metadata.jsonl")}


def test_rows_of_an_old_description_belong_to_the_only_subset() -> None:
    told = {"dataset_info": {"config_name": "plain_text", "splits": [{"name": "train", "num_examples": 7}]}}
    assert read_layout(["train.csv"], told).subsets["default"].rows == {"train": 7}


@pytest.mark.parametrize(
    "header",
    [
        {"configs": "all"},
        {"configs": [{"data_files": "*.csv"}]},
        {"configs": [{"config_name": "a", "data_files": [{"split": "x"}]}]},
        {"configs": [{"config_name": "a", "data_files": 3}]},
    ],
)
def test_malformed_configs_are_named(header: dict[str, Any]) -> None:
    with pytest.raises(DataProblem, match="malformed"):
        read_layout(["a.csv"], header)
