"""Delivery to the Hugging Face Hub: large files first, each once, then one commit that shows all of them."""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from logging import ERROR
from typing import TYPE_CHECKING

from pipeline.data.fetch.retry import ASK_WAITS_SECONDS
from pipeline.errors import UserError
from pipeline.exporters.destinations import DeliveredFile, DeliveryProgress
from pipeline.exporters.destinations.address import Destination
from pipeline.exporters.destinations.hub_refusals import explained
from pipeline.exporters.destinations.sending import try_to_send

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_PROGRAM = "lapidary"
_BRANCH = "main"


def deliver(
    files: Mapping[str, DeliveredFile],
    destination: Destination,
    *,
    private: bool,
    commit_message: str,
    progress: DeliveryProgress,
) -> str:
    """Commit the files to the model repository, which is made where it is missing; its page is returned.

    Raises:
        UserError: HF_TOKEN is missing or refused, or the Hub does not accept a file.
        StorageFailed: the Hub cannot be reached, fails too often, or may not be asked.
    """
    from huggingface_hub import HfApi, constants

    name = f"{destination.container}/{destination.path}"
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise UserError(
            f"Delivering to {destination} needs a Hugging Face token that may write, and HF_TOKEN is not set. Store "
            f"one under Settings or in the environment; {constants.ENDPOINT}/settings/tokens makes them."
        )
    api = HfApi(token=token, library_name=_PROGRAM)
    with_waits = partial(try_to_send, what=constants.ENDPOINT, waits=ASK_WAITS_SECONDS)
    total = sum(file.size_bytes for file in files.values())
    progress(0, total)
    with _quiet():
        is_xet = with_waits(partial(_prepare, api, name, private=private))
        with_waits(partial(_send, api, name, files, is_xet=is_xet, message=commit_message, progress=progress))
    progress(total, total)
    return f"{constants.ENDPOINT}/{name}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Run the body without the library's warnings, which name addresses that are keys, and without its bars."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity(ERROR)
    if had_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()


def _prepare(api: "HfApi", name: str, *, private: bool) -> bool:
    """Make the repository unless it is there; whether the Hub keeps its large files in Xet."""
    from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

    with explained(name):
        api.create_repo(name, private=private, exist_ok=True)
        # The client library never asks, and fails where there is none.
        answer = get_session().get(
            f"{api.endpoint}/api/models/{name}/xet-write-token/{_BRANCH}", headers=build_hf_headers(token=api.token)
        )
        return bool(answer.status_code == HTTPStatus.OK)


def _send(
    api: "HfApi",
    name: str,
    files: Mapping[str, DeliveredFile],
    *,
    is_xet: bool,
    message: str,
    progress: DeliveryProgress,
) -> None:
    total = sum(file.size_bytes for file in files.values())
    done, operations = 0, []
    try:
        for path, file in files.items():
            operation = _operation(path, file, is_xet, partial(_tell, progress, done, total))
            operations.append(operation)
            with explained(name):
                api.preupload_lfs_files(name, [operation], revision=_BRANCH, free_memory=False)
            done += file.size_bytes
            progress(done, total)
        with explained(name):
            api.create_commit(name, operations, commit_message=message, revision=_BRANCH)
    finally:
        for operation in operations:
            if isinstance(operation.path_or_fileobj, io.BufferedIOBase):
                operation.path_or_fileobj.close()


def _operation(path: str, file: DeliveredFile, is_xet: bool, sent: Callable[[int], None]) -> "CommitOperationAdd":
    from huggingface_hub import CommitOperationAdd

    if is_xet:
        return CommitOperationAdd(path, str(file.source))
    # A stream goes over plain HTTP, whatever is installed.
    stream = _ToldFile(io.FileIO(file.source))
    operation = CommitOperationAdd(path, stream)
    stream.sent = sent
    return operation


def _tell(progress: DeliveryProgress, before: int, total: int, count: int) -> None:
    progress(before + count, total)


class _ToldFile(io.BufferedReader):
    """A file that tells how far it was read."""

    sent: Callable[[int], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self.sent is not None:
            self.sent(self.tell())
        return content
