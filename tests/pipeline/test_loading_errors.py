"""explained: the Hub's errors as one sentence with a cure."""

import httpx
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.loading_errors import explained

CONFIG = ModelConfig(base_model="acme/stone-1b", revision="v9")
RESPONSE = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co/acme/stone-1b"))


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (GatedRepoError("no", response=RESPONSE), r"Accept its licence at https://huggingface.co/acme/stone-1b"),
        (
            RepositoryNotFoundError("a private or gated repo", response=RESPONSE),
            r"There is no model acme/stone-1b on the Hugging Face Hub",
        ),
        (RevisionNotFoundError("no", response=RESPONSE), r"has no revision 'v9'"),
        (HfHubHTTPError("quota", response=RESPONSE), r"refused to send acme/stone-1b: quota"),
        (ConnectionError("no route"), r"the Hugging Face Hub cannot be reached"),
        (ModuleNotFoundError("no", name="torchvision"), r"Install it with: pip install torchvision==0\.28\.0$"),
        (
            ModuleNotFoundError("no", name="timm"),
            r"needs the Python package timm, .* with: pip install timm$",
        ),
    ],
)
def test_hub_errors_are_explained_through_transformers_wrapping(cause: Exception, sentence: str) -> None:
    with pytest.raises(ModelUnavailable, match=sentence), explained(CONFIG):
        raise OSError("We could not load this") from cause


def test_other_errors_keep_their_first_line() -> None:
    with pytest.raises(ModelUnavailable, match=r"acme/stone-1b cannot be loaded: broken$"), explained(CONFIG):
        raise ValueError("broken\nand a long story")


def test_bugs_are_not_explained_away() -> None:
    with pytest.raises(AttributeError), explained(CONFIG):
        raise AttributeError("a bug of ours")
