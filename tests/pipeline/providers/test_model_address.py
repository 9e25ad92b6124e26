"""source_of: what the name of a base model stands for."""

from pathlib import Path

import pytest

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_address import HubModel, ModelSource, StoredModel, source_of


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("google/gemma-3-1b-it", HubModel("google/gemma-3-1b-it", "v2")),
        ("gpt2", HubModel("gpt2", "v2")),
        ("hf://google/gemma-3-1b-it", HubModel("google/gemma-3-1b-it", "v2")),
        ("hf://google/gemma-3-1b-it@refs%2Fpr%2F7/", HubModel("google/gemma-3-1b-it", "refs/pr/7")),
        ("https://huggingface.co/google/gemma-3-1b-it", HubModel("google/gemma-3-1b-it", "v2")),
        ("https://huggingface.co/google/gemma-3-1b-it/tree/v9", HubModel("google/gemma-3-1b-it", "v9")),
        ("/models/gemma", Path("/models/gemma")),
        ("./gemma", Path("gemma")),
        ("~/gemma", Path.home() / "gemma"),
        ("a/b/c", Path("a/b/c")),
        ("file:///models/my%20gemma", Path("/models/my gemma")),
        ("s3://bucket/gemma/", StoredModel("s3://bucket/gemma")),
        ("gs://bucket/gemma", StoredModel("gs://bucket/gemma")),
    ],
)
def test_name_stands_for_a_place(name: str, source: ModelSource) -> None:
    if name.startswith("~"):
        source = Path(name).expanduser()
    assert source_of(ModelConfig(base_model=name, revision="v2")) == source


def test_existing_folder_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gems" / "small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert source_of(ModelConfig(base_model="gems/small")) == Path("gems/small")


@pytest.mark.parametrize("name", ["ftp://host/gemma", "https://example.com/gemma", "http://huggingface.co/a/b"])
def test_other_addresses_are_refused_with_those_that_work(name: str) -> None:
    with pytest.raises(ModelUnavailable, match=r"No model can be fetched from .*begins with hf://, s3:// or gs://"):
        source_of(ModelConfig(base_model=name))


@pytest.mark.parametrize("name", ["hf://gemma", "hf://datasets/a/b", "https://huggingface.co/a/b/blob/main/x.json"])
def test_address_of_something_else_on_the_hub_is_refused(name: str) -> None:
    with pytest.raises(ModelUnavailable, match=r"is not the address of a model. Give one like hf://owner/name"):
        source_of(ModelConfig(base_model=name))
