"""Turns the many ways in which loading a model fails into one sentence with a cure each."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable

# Every torchvision is for one torch; another one would put another torch in place of ours.
REQUIREMENTS = {"torchvision": "torchvision==0.28.0"}


@contextmanager
def explained(config: ModelConfig) -> Iterator[None]:
    """Run the body; every failure to load becomes ModelUnavailable with a reason and what to do."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError, RuntimeError, httpx.TransportError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise ModelUnavailable(_explanation(error, config)) from error


def _explanation(error: BaseException, config: ModelConfig) -> str:
    name, causes = config.base_model, list(_causes(error))
    text = " ".join(str(cause) for cause in causes)

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(GatedRepoError) or "You are trying to access a gated repo" in text:
        return (
            f"{name} is gated. Accept its licence at https://huggingface.co/{name} and set HF_TOKEN to a token of "
            "that account."
        )
    if caused_by(RevisionNotFoundError):
        return f"{name} has no revision {config.revision!r}. Check the branch, tag or commit; main is the usual one."
    if "trust_remote_code" in text:
        return (
            f"{name} needs Python code of its own repository. If you trust it, turn model.trust_remote_code on; "
            "otherwise choose another model."
        )
    # Before the Hub's own "not found": without a connection nobody knows whether the model exists.
    if (
        caused_by(OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError, httpx.TransportError)
        or "couldn't connect" in text
    ):
        return (
            f"{name} is not on this machine and the Hugging Face Hub cannot be reached. Check the network, or give "
            "the path of a local folder."
        )
    if caused_by(RepositoryNotFoundError, HFValidationError) or "is not a valid model identifier" in text:
        return (
            f"There is no model {name} on the Hugging Face Hub. Check the spelling; for a private model set HF_TOKEN."
        )
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            if cause.response.status_code == HTTPStatus.UNAUTHORIZED:
                return (
                    "The Hugging Face Hub does not know the token: it is mistyped, or no longer valid. Set HF_TOKEN to "
                    "another one, or to none for public models."
                )
            return f"The Hugging Face Hub refused to send {name}: {_first_line(cause)}. Try again later."
    for cause in causes:
        if isinstance(cause, ModuleNotFoundError) and cause.name is not None:
            requirement = REQUIREMENTS.get(cause.name, cause.name)
            return (
                f"{name} needs the Python package {cause.name}, which is not installed. Install it with: "
                f"pip install {requirement}"
            )
    if "preprocessor_config.json" in text:
        return (
            f"{name} has no processor_config.json or preprocessor_config.json, which say how its images are read. Add "
            "them from the model that it was made of."
        )
    return f"{name} cannot be loaded: {_first_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
