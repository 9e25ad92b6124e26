"""GcsBucket: sends objects to Google Cloud Storage in resumable uploads, from the last byte that has arrived."""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from pipeline.data.fetch.http_file import explained_connection, passing_failure
from pipeline.data.fetch.retry import ASK_WAITS_SECONDS, TryAgain
from pipeline.errors import StorageFailed, UserError
from pipeline.exporters.destinations import DeliveredFile
from pipeline.exporters.destinations.address import Destination
from pipeline.exporters.destinations.bucket import SHA256_KEY
from pipeline.exporters.destinations.sending import try_to_send

if TYPE_CHECKING:
    import httpx

_CHUNK_BYTES = 256 << 10
_TIMEOUT_SECONDS = 60.0
_KEYS = "GOOGLE_APPLICATION_CREDENTIALS"


class GcsBucket:
    """One bucket, with the account of the environment. The protocol: cloud.google.com/storage/docs/resumable-uploads.

    gcsfs knows the account and the place; the requests are made here, because its own send a broken chunk anew.

    Raises:
        ImportError: gcsfs is not installed.
        UserError: the environment has no account.
    """

    def __init__(self, destination: Destination) -> None:
        import gcsfs
        import httpx
        from google.auth.exceptions import GoogleAuthError

        self._address, self._bucket = str(destination), destination.container
        # A store of one's own knows no accounts, unless one is given.
        has_accounts = _KEYS in os.environ or not os.environ.get("STORAGE_EMULATOR_HOST")
        try:
            store = gcsfs.GCSFileSystem(token="google_default" if has_accounts else "anon", skip_instance_cache=True)
        except (GoogleAuthError, ValueError, OSError) as error:
            raise UserError(
                f"{self._address} is written with an account, and the environment has none that can be used. Set "
                f"{_KEYS} to the path of the key file of an account that may write there."
            ) from error
        self._credentials = store.credentials
        self._objects = f"{store.base}b/{quote(self._bucket)}/o"
        self._uploads = self._objects.replace("/storage/v1/", "/upload/storage/v1/", 1)
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS)

    def holds(self, key: str, file: DeliveredFile) -> bool:
        """Whether the object of this key has the size and the SHA-256 of the file."""
        ask = partial(self._request, "GET", f"{self._objects}/{quote(key, safe='')}")
        answer = try_to_send(ask, what=self._address, waits=ASK_WAITS_SECONDS)
        # An account may be allowed to write only; whether it is, sending will tell.
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            return False
        found = self._checked(answer).json()
        return int(found["size"]) == file.size_bytes and found.get("metadata", {}).get(SHA256_KEY) == file.sha256

    def send(self, key: str, file: DeliveredFile, *, arrived: Callable[[int], None]) -> None:
        """Store the file under this key; `arrived` is told how many of its bytes are there.

        Raises:
            UserError: the account is refused.
            StorageFailed: there is no such bucket, or it cannot be reached or fails too often.
        """
        session = try_to_send(partial(self._begin, key, file), what=self._address)
        position = 0

        def go_on() -> None:
            nonlocal position
            position = self._position(session, file)
            arrived(position)
            if position < file.size_bytes:
                self._send_from(session, file, position, arrived=arrived)

        try_to_send(go_on, what=self._address, position=lambda: position)
        arrived(file.size_bytes)

    def _begin(self, key: str, file: DeliveredFile) -> str:
        """Open an upload; the address that its bytes are sent to, which is a key in itself and never shown."""
        answer = self._request(
            "POST",
            self._uploads,
            params={"uploadType": "resumable", "name": key},
            json={"name": key, "metadata": {SHA256_KEY: file.sha256}},
            headers={
                "X-Upload-Content-Type": "application/octet-stream",
                "X-Upload-Content-Length": str(file.size_bytes),
            },
        )
        return str(self._checked(answer).headers["Location"])

    def _position(self, session: str, file: DeliveredFile) -> int:
        """How many bytes the store has kept; all of them when the object is whole."""
        answer = self._put(session, b"", content_range=f"bytes */{file.size_bytes}")
        if answer.status_code != HTTPStatus.PERMANENT_REDIRECT:
            self._checked(answer)
            return file.size_bytes
        kept = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
        return 0 if kept is None else int(kept[1]) + 1

    def _send_from(self, session: str, file: DeliveredFile, position: int, *, arrived: Callable[[int], None]) -> None:
        with file.source.open("rb") as source:
            source.seek(position)
            answer = self._put(
                session,
                _chunks(source, arrived),
                content_range=f"bytes {position}-{file.size_bytes - 1}/{file.size_bytes}",
                length=file.size_bytes - position,
            )
        if answer.status_code == HTTPStatus.PERMANENT_REDIRECT:
            raise TryAgain("the store kept only a part of what was sent")
        self._checked(answer)

    def _put(
        self, session: str, content: bytes | Iterator[bytes], *, content_range: str, length: int = 0
    ) -> "httpx.Response":
        headers = {"Content-Range": content_range, "Content-Length": str(length)}
        with explained_connection():
            return self._client.put(session, content=content, headers=headers)

    def _request(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> "httpx.Response":
        signed = dict(headers or {})
        self._sign(signed)
        with explained_connection():
            return self._client.request(method, url, headers=signed, **options)

    def _sign(self, headers: dict[str, str]) -> None:
        from gcsfs.retry import HttpError, NonRetryableError
        from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError

        try:
            self._credentials.apply(headers)
        except TransportError as error:
            raise TryAgain("the server that signs Google accounts in cannot be reached") from error
        except (HttpError, NonRetryableError, GoogleAuthError) as error:
            if isinstance(error.__cause__, RefreshError) and error.__cause__.retryable:
                raise TryAgain("the server that signs Google accounts in did not answer as it should") from error
            raise self._unknown_account() from error

    def _checked(self, answer: "httpx.Response") -> "httpx.Response":
        """The answer, if it is none of refusal or failure."""
        if failure := passing_failure(answer):
            raise failure
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise self._unknown_account()
        if answer.status_code == HTTPStatus.FORBIDDEN:
            raise UserError(
                f"The account may not write to {self._address}. Give it the role Storage Object User there, or set "
                f"{_KEYS} to the key file of an account that may."
            )
        if answer.status_code == HTTPStatus.GONE:
            raise StorageFailed(f"The store has given up an upload to {self._address} meanwhile. Try again.")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise StorageFailed(f"There is no bucket {self._bucket}. Make it, or correct its name, then try again.")
        if answer.is_error:
            raise StorageFailed(
                f"{self._address} does not take the files: it answered {answer.status_code}. Check the address, then "
                "try again."
            )
        return answer

    def _unknown_account(self) -> UserError:
        return UserError(
            f"The account for {self._address} is not accepted. Set {_KEYS} in the environment of the studio to the key "
            "file of an account that may write there."
        )


def _chunks(source: BinaryIO, arrived: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk
        arrived(source.tell())
