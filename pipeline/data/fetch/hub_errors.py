"""Turns the ways in which the Hub refuses a data set into one sentence with a cure each."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from pipeline.data.fetch.http_file import explained_connection, passing_failure
from pipeline.errors import DataProblem, StorageFailed, UserError

if TYPE_CHECKING:
    import httpx


@contextmanager
def explained(repo_id: str, *, revision: str, has_token: bool) -> Iterator[None]:
    """Run the body; refusals become DataProblem, failures that may pass TryAgain.

    Raises:
        DataProblem: the Hub has no such data set or revision, or does not give it to this token.
        StorageFailed: the Hub may not be asked.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        with explained_connection():
            yield
    except OfflineModeIsEnabled as error:
        raise StorageFailed(
            f"{repo_id} is on the Hugging Face Hub, and HF_HUB_OFFLINE forbids to ask it. Unset that, or give a local "
            "file."
        ) from error
    except HFValidationError as error:
        raise DataProblem(f"{repo_id!r} is not the id of a data set. Write it as owner/name.") from error
    except HfHubHTTPError as error:
        raise (
            passing_failure(error.response) or _refusal(error, repo_id, revision=revision, has_token=has_token)
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageFailed(
            f"What answers at {constants.ENDPOINT} is not the Hugging Face Hub. Check HF_ENDPOINT, and whether the "
            "network asks to sign in first."
        ) from error


def refusal_of(response: "httpx.Response", repo_id: str, *, revision: str, has_token: bool) -> UserError:
    """What it means that a file of the data set is refused with this response."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    try:
        hf_raise_for_status(response)
    except HfHubHTTPError as error:
        return _refusal(error, repo_id, revision=revision, has_token=has_token)
    return StorageFailed(f"The Hugging Face Hub answered {response.status_code} for {repo_id}. Try again later.")


def _refusal(error: Exception, repo_id: str, *, revision: str, has_token: bool) -> UserError:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/datasets/{repo_id}"
    match error:
        case GatedRepoError() if has_token:
            return DataProblem(
                f"{repo_id} is gated, and the account of the token has no access to it yet. Ask for access at {page}."
            )
        case GatedRepoError():
            return DataProblem(
                f"{repo_id} is gated. Ask for access at {page}, then give a Hugging Face token of that account."
            )
        case RevisionNotFoundError():
            return DataProblem(
                f"{repo_id} has no revision {revision!r}. Check the branch, tag or commit; main is the usual one."
            )
        case RemoteEntryNotFoundError():
            return DataProblem(f"A file of {repo_id} is no longer there. Try again.")
        case DisabledRepoError():
            return DataProblem(f"The Hugging Face Hub has disabled {repo_id}. Choose another data set.")
        case RepositoryNotFoundError() if has_token:
            return DataProblem(
                f"The Hugging Face Hub has no data set {repo_id} that the token may read. Check the spelling, and that "
                "the token's account sees the data set."
            )
        case RepositoryNotFoundError():
            return DataProblem(
                f"The Hugging Face Hub has no public data set {repo_id}. Check the spelling; if it is private, give a "
                "Hugging Face token that may read it."
            )
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return DataProblem(
                "The Hugging Face Hub does not know the token: it is mistyped, or no longer valid. Give another one "
                f"from {constants.ENDPOINT}/settings/tokens, or none for public data sets."
            )
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.FORBIDDEN:
            return DataProblem(
                f"The token may not read {repo_id}: its permissions do not cover it. Give one with read access from "
                f"{constants.ENDPOINT}/settings/tokens."
            )
        case HfHubHTTPError():
            return StorageFailed(
                f"The Hugging Face Hub answered {error.response.status_code} for {repo_id}. Try again later."
            )
        case _:
            return StorageFailed(f"The Hugging Face Hub did not give {repo_id}: {error}. Try again later.")
