"""The Xet storage of the tests' own Hub on 127.0.0.1: it takes a file in chunks, as the client library cuts it."""

import hashlib
import json
from types import TracebackType
from typing import Self

from tests.file_server import Answer, FileServer, SeenRequest
from tests.hub_server import HubServer

_HEADER_BYTES = 8


class XetServer:
    """Storage that `hub` offers for large files; a context manager.

    It holds each file whole, so that a file must fit into one upload (64 MB) and be of bytes that do not compress.
    """

    def __init__(self, hub: HubServer) -> None:
        self.http = FileServer(self._answer)
        self._hub = hub

    def __enter__(self) -> Self:
        self.http.__enter__()
        self._hub.xet_url = self.http.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.xet_url = None
        self.http.__exit__(kind, error, trace)

    def _answer(self, request: SeenRequest) -> Answer:
        if request.method == "POST" and request.path.startswith("/v1/xorbs/") and not request.is_cut:
            content = _content(request.body)
            self._hub.uploads.blobs[hashlib.sha256(content).hexdigest()] = content
            return _json({"was_inserted": True})
        if request.method == "POST" and request.path == "/v1/shards":
            return _json({"result": 1})
        return Answer(b"", 404)


def _content(xorb: bytes) -> bytes:
    """The chunks of an upload behind each other; each has a header with its version, length, kind and full length."""
    content, place = b"", 0
    while place + _HEADER_BYTES <= len(xorb) and xorb[place] == 0:
        length = int.from_bytes(xorb[place + 1 : place + 4], "little")
        place += _HEADER_BYTES
        content += xorb[place : place + length]
        place += length
    return content


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), headers={"Content-Type": "application/json"})
