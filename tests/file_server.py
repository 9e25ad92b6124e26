"""An HTTP server of the tests' own on 127.0.0.1: byte ranges, a log of every request, and faults on demand."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 16 << 10


@dataclass
class SeenRequest:
    """One request, and what was answered. `path` is decoded and has no query; `headers` are in small letters.

    Of a cut request, `body` has what arrived; its answer is never sent.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0
    bytes_sent: int = 0
    is_cut: bool = False

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> str:
        return urlsplit(self.target).query


@dataclass(frozen=True)
class Answer:
    """What a request is answered with: bytes as they are, or a file, of which a range may be asked for."""

    body: bytes | Path = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    has_ranges: bool = True
    has_length: bool = True


@dataclass(frozen=True)
class _Fault:
    path: str
    answer: Answer | None = None
    after: int = 0
    stalls: bool = False
    method: str | None = None
    is_upload: bool = False
    is_lost: bool = False


class FileServer:
    """Answers every request with what `answer` returns for it; a context manager."""

    def __init__(self, answer: Callable[[SeenRequest], Answer]) -> None:
        self.answer = answer
        self.requests: list[SeenRequest] = []
        self.closing = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._http = _HttpServer(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer_once(self, path: str, status: int, *, method: str | None = None, **headers: str) -> None:
        """Answer the next request whose path ends so with this status; `_` in header names stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(_Fault(path, answer=Answer(b"{}", status, named), method=method))

    def lose_answer_once(self, path: str, *, method: str) -> None:
        """Do what the next such request whose path ends so asks for, but break the connection instead of answering."""
        self._faults.append(_Fault(path, answer=Answer(), method=method, is_lost=True))

    def cut_once(self, path: str, *, after: int) -> None:
        """Break the connection of the next download whose path ends so after so many bytes."""
        self._faults.append(_Fault(path, after=after))

    def cut_upload_once(self, part_of_target: str, *, after: int, stalls: bool = False) -> None:
        """Break the connection of the next longer request with this in its target after so many bytes of its body.

        With `stalls` no more is read and the connection stays open.
        """
        self._faults.append(_Fault(part_of_target, after=after, stalls=stalls, is_upload=True))

    def stall_once(self, path: str, *, after: int) -> None:
        """Send no more of the next download whose path ends so after so many bytes, and keep it open."""
        self._faults.append(_Fault(path, after=after, stalls=True))

    def downloads(self, path: str) -> list[SeenRequest]:
        """The answered requests for the content of files whose path ends so."""
        return [
            seen
            for seen in list(self.requests)
            if seen.method == "GET" and seen.path.endswith(path) and seen.status in (200, 206)
        ]

    def bytes_sent(self) -> int:
        """Bytes of all files together that were written to sockets."""
        return sum(seen.bytes_sent for seen in list(self.requests))

    def bytes_received(self, part_of_target: str = "") -> int:
        """Bytes of the bodies of all requests with this in their targets."""
        return sum(len(seen.body) for seen in list(self.requests) if part_of_target in seen.target)

    def take_fault(self, path: str, *, in_body: bool, method: str) -> "_Fault | None":
        """The fault that is due now, once."""
        with self._lock:
            for fault in self._faults:
                is_due = path.endswith(fault.path) and fault.method in (None, method) and not fault.is_upload
                if is_due and in_body == (fault.answer is None):
                    self._faults.remove(fault)
                    return fault
        return None

    def take_upload_fault(self, target: str, *, length: int) -> "_Fault | None":
        """The fault that is due in a request with a body of this length, once."""
        with self._lock:
            for fault in self._faults:
                if fault.is_upload and fault.path in target and length > fault.after:
                    self._faults.remove(fault)
                    return fault
        return None


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    owner: FileServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def log_message(self, format: str, *arguments: Any) -> None:
        """The tests read `FileServer.requests` instead."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length", 0))
        cut = self.server.owner.take_upload_fault(self.path, length=length)
        body = self.rfile.read(length if cut is None else cut.after)
        self.seen = SeenRequest(self.command, self.path, headers, body, is_cut=cut is not None)
        self.server.owner.requests.append(self.seen)
        if cut is not None:
            self.server.owner.answer(self.seen)
            if cut.stalls:
                self.server.owner.closing.wait()
            self.close_connection = True
            return
        fault = self.server.owner.take_fault(self.seen.path, in_body=False, method=self.command)
        if fault is None or fault.answer is None or fault.is_lost:
            answer = self.server.owner.answer(self.seen)
        else:
            answer = fault.answer
        if fault is not None and fault.is_lost:
            self.close_connection = True
            return
        if isinstance(answer.body, bytes):
            self._send_head(answer.status, {"Content-Length": str(len(answer.body)), **answer.headers})
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        else:
            self._send_file(answer.body, answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _send_file(self, file: Path, answer: Answer) -> None:
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.seen.headers.get("range", "")) if answer.has_ranges else None
        condition = self.seen.headers.get("if-range")
        if condition is not None and condition not in (answer.headers.get("ETag"), answer.headers.get("Last-Modified")):
            asked = None
        start, end, headers = 0, size, dict(answer.headers)
        if asked is not None:
            start, end = int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size
            if start >= size:
                self._send_head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if answer.has_length:
            headers["Content-Length"] = str(end - start)
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        self._send_head(answer.status if asked is None else 206, headers)
        if self.command != "HEAD":
            with file.open("rb") as stream:
                stream.seek(start)
                self._send_body(lambda: stream.read(min(CHUNK_BYTES, end - stream.tell())))

    def _send_body(self, read: Callable[[], bytes]) -> None:
        fault = self.server.owner.take_fault(self.seen.path, in_body=True, method=self.command)
        while chunk := read():
            if fault is not None:
                chunk = chunk[: fault.after - self.seen.bytes_sent]
            self.wfile.write(chunk)
            self.seen.bytes_sent += len(chunk)
            if fault is not None and self.seen.bytes_sent >= fault.after:
                if fault.stalls:
                    self.server.owner.closing.wait()
                self.close_connection = True
                return

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
