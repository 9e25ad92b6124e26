"""A Google Cloud Storage of the tests' own on 127.0.0.1: objects, resumable uploads, and accounts that sign in."""

import base64
import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.file_server import Answer, FileServer, SeenRequest

# Of an upload that is broken off, the store keeps whole blocks of this size.
KEPT_BLOCK_BYTES = 256 << 10
_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")
_UPLOADS = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass
class StoredObject:
    """An object and what a client has stored beside it."""

    content: bytes
    metadata: dict[str, str]


@dataclass
class _Session:
    bucket: str
    name: str
    metadata: dict[str, str]
    content: bytes = b""
    is_done: bool = False


class GcsServer:
    """Keeps what clients store in its buckets; a context manager.

    `http` breaks connections on demand. Where accounts were added, requests must be signed in; nobody may write to the
    buckets in `read_only`.
    """

    def __init__(self, folder: Path) -> None:
        self.http = FileServer(self._answer)
        self.buckets: dict[str, dict[str, StoredObject]] = {}
        self.read_only: set[str] = set()
        self._folder = folder
        self._accounts: set[str] = set()
        self._tokens: set[str] = set()
        self._sessions: dict[str, _Session] = {}
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self.http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.__exit__(kind, error, trace)

    def account_file(self, name: str, *, is_known: bool = True) -> Path:
        """The key file of an account; signing in with one that is not known is refused."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        address = f"{name}@tests.iam.gserviceaccount.com"
        if is_known:
            self._accounts.add(address)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{name}.json"
        told = {"type": "service_account", "project_id": "tests", "private_key_id": "1", "client_id": "1"}
        signs_in = {"client_email": address, "private_key": pem.decode(), "token_uri": f"{self.http.url}/token"}
        file.write_text(json.dumps({**told, **signs_in}))
        return file

    def objects(self, bucket: str) -> dict[str, bytes]:
        """What a bucket holds."""
        return {name: stored.content for name, stored in self.buckets[bucket].items()}

    def _answer(self, request: SeenRequest) -> Answer:
        target = urlsplit(request.target).path
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if target == "/token":
            return self._sign_in(request)
        if request.method == "PUT" and "upload_id" in query:
            return self._continue(request, self._sessions[query["upload_id"]])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._accounts and token not in self._tokens:
            return _error(401, "Invalid Credentials")
        if match := _OBJECT.fullmatch(target):
            bucket, name = unquote(match[1]), unquote(match[2])
            if name not in self.buckets.get(bucket, {}):
                return _error(404, "Not Found")
            stored = self.buckets[bucket][name]
            if query.get("alt") == "media":
                return Answer(stored.content, headers={"Content-Type": "application/octet-stream"})
            return _json(_resource(bucket, name, stored))
        if match := _UPLOADS.fullmatch(target):
            return self._begin(request, unquote(match[1]), query)
        return _error(404, "Not Found")

    def _sign_in(self, request: SeenRequest) -> Answer:
        claims = parse_qs(request.body.decode())["assertion"][0].split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iss"]
        if issuer not in self._accounts:
            text = {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
            return _json(text, 400)
        token = secrets.token_hex(16)
        self._tokens.add(token)
        return _json({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _begin(self, request: SeenRequest, bucket: str, query: Mapping[str, str]) -> Answer:
        if bucket not in self.buckets:
            return _error(404, "The specified bucket does not exist.")
        if bucket in self.read_only:
            return _error(403, "The account does not have storage.objects.create access.")
        assert query["uploadType"] == "resumable"
        told = json.loads(request.body)
        number = f"session-{next(self._numbers)}"
        self._sessions[number] = _Session(bucket, told["name"], told["metadata"])
        place = f"{self.http.url}{urlsplit(request.target).path}?uploadType=resumable&upload_id={number}"
        return Answer(headers={"Location": place})

    def _continue(self, request: SeenRequest, session: _Session) -> Answer:
        match = _RANGE.fullmatch(request.headers["content-range"])
        if match is None:
            return _error(400, "Failed to parse Content-Range header.")
        total = int(match[3])
        if match[1] is not None and not session.is_done:
            if int(match[1]) > len(session.content):
                return _error(503, "A part is missing.")
            kept = request.body
            if request.is_cut:
                kept = kept[: (int(match[1]) + len(kept)) // KEPT_BLOCK_BYTES * KEPT_BLOCK_BYTES - int(match[1])]
            session.content = session.content[: int(match[1])] + kept
        if len(session.content) == total and not request.is_cut:
            stored = StoredObject(session.content, session.metadata)
            self.buckets[session.bucket][session.name] = stored
            session.is_done = True
            return _json(_resource(session.bucket, session.name, stored))
        range_kept = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
        return Answer(status=308, headers=range_kept)


def _resource(bucket: str, name: str, stored: StoredObject) -> dict[str, Any]:
    digest = hashlib.md5(stored.content, usedforsecurity=False).digest()
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(len(stored.content)),
        "md5Hash": base64.b64encode(digest).decode(),
        "metadata": stored.metadata,
        "updated": "2026-01-01T00:00:00.000Z",
    }


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def _error(status: int, message: str) -> Answer:
    return _json({"error": {"code": status, "message": message}}, status)
