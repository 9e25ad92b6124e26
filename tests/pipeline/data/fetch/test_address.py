"""What a source is taken for."""

from pathlib import Path

import pytest

from pipeline.data.fetch import kind_of_source
from pipeline.data.fetch.address import TABLE_SUFFIXES, HubAddress, parse_hub_address, without_secrets
from pipeline.data.fetch.hub_splits import IMAGE_SUFFIXES
from pipeline.data.sources import SUPPORTED_SUFFIXES, images
from pipeline.errors import DataProblem


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("gems/orders", "hub"),
        ("gsm8k", "hub"),
        ("HuggingFaceH4/ultrachat_200k", "hub"),
        ("hf://datasets/gems/orders", "hub"),
        ("https://huggingface.co/datasets/gems/orders", "hub"),
        ("data/train.jsonl", "file"),
        ("data/train.jsonl.gz", "file"),
        ("rows.csv", "file"),
        ("/data/anything", "file"),
        ("./owner/name", "file"),
        ("~/rows", "file"),
        ("a/b/c", "file"),
        ("s3://bucket/rows.parquet", "object_store"),
        ("gs://bucket/folder", "object_store"),
        ("https://example.org/rows.csv", "object_store"),
        ("file:///data/rows.csv", "object_store"),
    ],
)
def test_source_is_told_apart(source: str, kind: str) -> None:
    assert kind_of_source(source) == kind


def test_existing_folder_wins_over_a_data_set_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gems" / "orders").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert kind_of_source("gems/orders") == "file"


def test_pages_of_another_endpoint_are_of_its_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind_of_source("https://hub.example.org/datasets/gems/orders") == "object_store"
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org")
    assert kind_of_source("https://hub.example.org/datasets/gems/orders") == "hub"


def test_unknown_scheme_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DataProblem, match=r"from ftp:// addresses\. Give a file, a Hugging Face id, or an address"):
        kind_of_source("ftp://example.org/rows.csv")


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("gems/orders", HubAddress("gems/orders")),
        ("hf://datasets/gems/orders@v2/data/a.csv", HubAddress("gems/orders", revision="v2", path="data/a.csv")),
        ("hf://datasets/gems/orders@refs%2Fpr%2F1", HubAddress("gems/orders", revision="refs/pr/1")),
        ("https://huggingface.co/datasets/gems/orders", HubAddress("gems/orders")),
        ("https://huggingface.co/datasets/gems/orders/", HubAddress("gems/orders")),
        ("https://huggingface.co/datasets/imdb/tree/main", HubAddress("imdb", revision="main")),
        ("https://hf.co/datasets/gems/orders/tree/main/data", HubAddress("gems/orders", revision="main", path="data")),
        (
            "https://huggingface.co/datasets/gems/orders/resolve/main/a%20b.csv?download=true",
            HubAddress("gems/orders", revision="main", path="a b.csv"),
        ),
        ("https://huggingface.co/datasets/gems/orders/viewer/en", HubAddress("gems/orders", subset="en")),
        (
            "https://huggingface.co/datasets/gems/orders/viewer/en/test?p=3",
            HubAddress("gems/orders", subset="en", split="test"),
        ),
    ],
)
def test_hub_address_says_more_than_a_name(source: str, address: HubAddress) -> None:
    assert parse_hub_address(source) == address


@pytest.mark.parametrize("source", ["https://huggingface.co/google/gemma-3-1b-it", "hf://spaces/gems/orders"])
def test_address_of_something_else_is_refused(source: str) -> None:
    with pytest.raises(DataProblem, match="is not the address of a data set"):
        parse_hub_address(source)


def test_secrets_are_not_shown() -> None:
    signed = "https://ada:pass@example.org:8080/a/rows.csv?X-Amz-Signature=abc#part"
    assert without_secrets(signed) == "https://example.org:8080/a/rows.csv"


def test_what_is_fetched_is_what_is_read() -> None:
    assert set(TABLE_SUFFIXES) < set(SUPPORTED_SUFFIXES)
    assert set(IMAGE_SUFFIXES) == set(images.IMAGE_SUFFIXES)
