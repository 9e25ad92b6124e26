"""Turns the ways in which the Hub refuses a delivery into one sentence with a cure each."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from pipeline.data.fetch.http_file import explained_connection, passing_failure
from pipeline.data.fetch.retry import TryAgain
from pipeline.errors import StorageFailed, UserError


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Run the body; failures that may pass become TryAgain.

    Raises:
        UserError: the token is refused, or the Hub does not accept a file.
        StorageFailed: the Hub may not be asked, or something else answers.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        with explained_connection(), _unwrapped():
            yield
    except OfflineModeIsEnabled as error:
        raise StorageFailed(
            f"{name} would be on the Hugging Face Hub, and HF_HUB_OFFLINE forbids to go there. Unset that, or deliver "
            "to a folder."
        ) from error
    except HfHubHTTPError as error:
        raise (passing_failure(error.response) or _refusal(error, name)) from error
    except (ValueError, KeyError, TypeError) as error:
        if "Invalid metadata in README.md" in str(error):
            raise UserError(
                f"The Hub does not accept the header of README.md: {_one_line(str(error))}. Correct the model card."
            ) from error
        if "LFS batch API returned errors" in str(error):
            raise StorageFailed(f"The Hugging Face Hub does not take a file: {_one_line(str(error))}.") from error
        raise StorageFailed(
            f"What answers at {constants.ENDPOINT} is not the Hugging Face Hub. Check HF_ENDPOINT, and whether the "
            "network asks to sign in first."
        ) from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Run the body; what the library says around an error is taken off, and what its Xet client says is sorted."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled:
        raise
    except RuntimeError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from error
        raise TryAgain(f"large files could not be sent: {_one_line(str(error))}") from error
    except (ConnectionError, TimeoutError) as error:
        raise TryAgain(f"large files could not be sent: {_one_line(str(error))}") from error


def _refusal(error: Exception, name: str) -> UserError:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    tokens = f"{constants.ENDPOINT}/settings/tokens"
    match error:
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.FORBIDDEN:
            return UserError(
                f"The token of HF_TOKEN may not write to {name}: its permissions, or its account's rights in "
                f"{name.partition('/')[0]}, do not cover it. Give one with write access from {tokens}, or choose "
                "another namespace."
            )
        case RepositoryNotFoundError():
            return UserError(
                f"The Hugging Face Hub shows no {name} to the token of HF_TOKEN. Check the name, and that the token's "
                "account is a member of the namespace."
            )
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return UserError(
                "The Hugging Face Hub does not know the token of HF_TOKEN: it is mistyped, or no longer valid. Store "
                f"another one with write access from {tokens}."
            )
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.PAYMENT_REQUIRED:
            return StorageFailed(
                f"The storage of {name.partition('/')[0]} on the Hugging Face Hub is used up. Free some, or choose "
                "another destination."
            )
        case HfHubHTTPError():
            told = error.response.headers.get("X-Error-Message", "")
            return StorageFailed(
                f"The Hugging Face Hub answered {error.response.status_code} for {name}"
                f"{f': {_one_line(told)}' if told else ''}. Try again later."
            )
        case _:
            return StorageFailed(f"The Hugging Face Hub did not take {name}. Try again later.")


def _one_line(text: str) -> str:
    """The text in one line, without addresses: those of the Hub's storage are signed."""
    return re.sub(r"https?://\S+", "…", " ".join(text.split()))[:300].rstrip(". ")
