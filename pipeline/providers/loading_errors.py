"""Turns the many ways in which loading a model fails into one sentence with a cure each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable

CONFIG_FILE = "config.json"
ADAPTER_FILE = "adapter_config.json"


@contextmanager
def explained(config: ModelConfig) -> Iterator[None]:
    """Run the body; every failure to load becomes ModelUnavailable with a reason and what to do."""
    _check_folder(config)
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError, RuntimeError) as error:
        raise ModelUnavailable(_explanation(error, config)) from error


def looks_like_folder(base_model: str) -> bool:
    """Whether `base_model` names a folder and not a model of the Hub (`name` or `owner/name`)."""
    return base_model.startswith((".", "/", "~")) or base_model.count("/") > 1 or Path(base_model).is_dir()


def _check_folder(config: ModelConfig) -> None:
    if not looks_like_folder(config.base_model):
        return
    folder = Path(config.base_model)
    if not folder.is_dir():
        raise ModelUnavailable(
            f"There is no folder at {folder}. Check the path, or give a Hugging Face id such as google/gemma-3-1b-it."
        )
    if (folder / CONFIG_FILE).is_file():
        return
    if (folder / ADAPTER_FILE).is_file():
        raise ModelUnavailable(
            f"{folder} holds an adapter, not a whole model. Give the model that it was trained on as the base model."
        )
    raise ModelUnavailable(f"{folder} has no {CONFIG_FILE}. Give the folder of a model in Hugging Face format.")


def _explanation(error: BaseException, config: ModelConfig) -> str:
    name, causes = config.base_model, list(_causes(error))
    text = " ".join(str(cause) for cause in causes)

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(GatedRepoError) or "gated repo" in text:
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
    if caused_by(OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError) or "couldn't connect" in text:
        return (
            f"{name} is not on this machine and the Hugging Face Hub cannot be reached. Check the network, or give "
            "the path of a local folder."
        )
    if caused_by(RepositoryNotFoundError) or "is not a valid model identifier" in text:
        return (
            f"There is no model {name} on the Hugging Face Hub. Check the spelling; for a private model set HF_TOKEN."
        )
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            return f"The Hugging Face Hub refused to send {name}: {_first_line(cause)}. Try again later."
    return f"{name} cannot be loaded: {_first_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
