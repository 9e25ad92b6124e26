"""S3Bucket: sends objects to S3, large ones in parts; an upload that was broken off is gone on with part by part."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from pipeline.data.fetch.retry import ASK_WAITS_SECONDS, WAITS_SECONDS, TryAgain
from pipeline.errors import StorageFailed, UserError
from pipeline.exporters.destinations import DeliveredFile
from pipeline.exporters.destinations.address import Destination
from pipeline.exporters.destinations.bucket import SHA256_KEY
from pipeline.exporters.destinations.sending import try_to_send

# A part is kept in memory and sent again as a whole when the connection breaks in it. S3 takes none below 5 MiB.
PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_UNKNOWN_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidSecurity")
_PASSING_CODES = ("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "OperationAborted")
_PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_Result = TypeVar("_Result")


class S3Bucket:
    """One bucket, with the keys of the environment.

    Raises:
        ImportError: s3fs is not installed.
        UserError: the environment has no keys.
    """

    def __init__(self, destination: Destination) -> None:
        import s3fs

        self._address, self._bucket = str(destination), destination.container
        if import_module("botocore.session").Session().get_credentials() is None:
            raise UserError(
                f"{self._address} is written with keys, and the environment has none. Set {_KEYS} to those of an "
                "account that may write there."
            )
        self._store = s3fs.S3FileSystem(
            anon=False,
            skip_instance_cache=True,
            use_listings_cache=False,
            # Tried again here and not there, where each failure would be multiplied.
            config_kwargs={"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 1}},
        )
        self._store.retries = 1

    def holds(self, key: str, file: DeliveredFile) -> bool:
        """Whether the object of this key has the size and the SHA-256 of the file."""
        try:
            found = self._ask(partial(self._call, "head_object", Key=key), waits=ASK_WAITS_SECONDS)
        except (FileNotFoundError, PermissionError):
            # An account may be allowed to write only; whether it is, sending will tell.
            return False
        return bool(found["ContentLength"] == file.size_bytes and found["Metadata"].get(SHA256_KEY) == file.sha256)

    def send(self, key: str, file: DeliveredFile, *, arrived: Callable[[int], None]) -> None:
        """Store the file under this key; `arrived` is told how many of its bytes are there.

        Raises:
            UserError: the keys are refused.
            StorageFailed: there is no such bucket, or it cannot be reached or fails too often.
        """
        try:
            if file.size_bytes <= PART_BYTES:
                content = file.source.read_bytes()
                self._ask(partial(self._call, "put_object", Key=key, Body=content, Metadata=_metadata(file)))
            else:
                self._send_in_parts(key, file, arrived=arrived)
        except FileNotFoundError as error:
            if _answered(error)[1] == "NoSuchUpload":
                raise StorageFailed(f"The store has given up the upload of {key} meanwhile. Try again.") from error
            raise StorageFailed(
                f"There is no bucket {self._bucket}. Make it, or correct its name, then try again."
            ) from error
        except PermissionError as error:
            raise _refusal(self._address, error) from error
        arrived(file.size_bytes)

    def _send_in_parts(self, key: str, file: DeliveredFile, *, arrived: Callable[[int], None]) -> None:
        part_bytes = max(PART_BYTES, -(-file.size_bytes // _MOST_PARTS))
        upload, there = self._unfinished(key, file, part_bytes)
        if not self._send_parts(key, file, upload, there, part_bytes=part_bytes, arrived=arrived):
            # The parts that were there are alike, but belong to another file: its metadata came with the upload.
            self._send_parts(key, file, self._begin(key, file), {}, part_bytes=part_bytes, arrived=arrived)

    def _send_parts(
        self,
        key: str,
        file: DeliveredFile,
        upload: str,
        there: dict[int, str],
        *,
        part_bytes: int,
        arrived: Callable[[int], None],
    ) -> bool:
        """Send what is missing and finish; whether the object is then the file."""
        parts = []
        with file.source.open("rb") as source:
            for number in range(1, -(-file.size_bytes // part_bytes) + 1):
                content = source.read(part_bytes)
                tag = there.get(number)
                if tag is None or tag.strip('"') != _md5(content):
                    call = partial(self._call, "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=content)
                    tag = self._ask(call)["ETag"]
                parts.append({"PartNumber": number, "ETag": tag})
                arrived(source.tell())
        finish = partial(
            self._call, "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        try:
            self._ask(finish)
        except FileNotFoundError:
            # Finished by a request whose answer was lost.
            if not self.holds(key, file):
                raise
        return not there or self.holds(key, file)

    def _begin(self, key: str, file: DeliveredFile) -> str:
        begun = self._ask(partial(self._call, "create_multipart_upload", Key=key, Metadata=_metadata(file)))
        return str(begun["UploadId"])

    def _unfinished(self, key: str, file: DeliveredFile, part_bytes: int) -> tuple[str, dict[int, str]]:
        """The upload to go on with and the tags of its parts by number; a new one where there is none."""
        try:
            listed = self._ask(partial(self._call, "list_multipart_uploads", Prefix=key))
            uploads = [upload for upload in listed.get("Uploads", []) if upload["Key"] == key]
            for upload in sorted(uploads, key=lambda upload: upload["Initiated"], reverse=True):
                parts = self._parts(key, upload["UploadId"])
                if parts and _begins_with(file, parts, part_bytes):
                    return upload["UploadId"], {part["PartNumber"]: part["ETag"] for part in parts}
        except (FileNotFoundError, PermissionError, NotImplementedError):
            # Going on needs the right to list, which an account need not have.
            pass
        return self._begin(key, file), {}

    def _parts(self, key: str, upload: str) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        marker = 0
        while True:
            call = partial(self._call, "list_parts", Key=key, UploadId=upload, PartNumberMarker=marker)
            page = self._ask(call)
            parts += page.get("Parts", [])
            if not page.get("IsTruncated"):
                return parts
            marker = page["NextPartNumberMarker"]

    def _ask(self, call: Callable[[], _Result], *, waits: Sequence[float] = WAITS_SECONDS) -> _Result:
        return try_to_send(call, what=self._address, waits=waits)

    def _call(self, method: str, **arguments: Any) -> Any:
        """One request. FileNotFoundError and PermissionError are the store's; what may pass is TryAgain."""
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

        try:
            return self._store.call_s3(method, Bucket=self._bucket, **arguments)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise PermissionError(type(error).__name__) from error
        except (FileNotFoundError, PermissionError):
            raise
        except (OSError, TimeoutError, ClientError, BotoCoreError) as error:
            status, code = _answered(error)
            if status is None or status in _PASSING_STATUSES or code in _PASSING_CODES:
                told = f"the store answered {status}" if status is not None else _words(error)
                raise TryAgain(told) from error
            raise StorageFailed(
                f"{self._address} does not take the files: {code or status}. Check the address and the store's "
                "settings, then try again."
            ) from error


def _begins_with(file: DeliveredFile, parts: list[dict[str, Any]], part_bytes: int) -> bool:
    """Whether these parts are some of the file's. The tag of a part is its MD5, unless the store encrypts."""
    with file.source.open("rb") as source:
        for part in parts:
            source.seek((part["PartNumber"] - 1) * part_bytes)
            if part["ETag"].strip('"') != _md5(source.read(part_bytes)):
                return False
    return True


def _refusal(address: str, error: PermissionError) -> UserError:
    _, code = _answered(error)
    if code in _UNKNOWN_KEYS or code is None:
        return UserError(
            f"The keys for {address} are not accepted ({code or error}). Set {_KEYS} in the environment of the studio "
            "to those of an account that may write there."
        )
    return UserError(
        f"The keys for {address} do not allow to write there ({code}). Give their account the right to put objects, or "
        f"set {_KEYS} to those of another one."
    )


def _answered(error: BaseException) -> tuple[int | None, str | None]:
    """The status and the code of the store's answer, if it gave one."""
    from botocore.exceptions import ClientError

    cause = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(cause, ClientError):
        return None, None
    return cause.response["ResponseMetadata"]["HTTPStatusCode"], cause.response["Error"].get("Code")


def _metadata(file: DeliveredFile) -> dict[str, str]:
    return {SHA256_KEY: file.sha256}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
