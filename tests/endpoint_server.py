"""A server on 127.0.0.1 that speaks OpenAI's chat completions: its model changes texts by fixed rules.

Requests are answered by `Reply`s put in line with `answer_next`, and when there are none, by the model.
"""

import hashlib
import json
import re
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

MODEL = "parrot-1"
Mood = Literal["obliging", "copying", "rambling"]


@dataclass(frozen=True)
class Reply:
    """What to answer. A `text` is sent as it is; `content` is what the model says; without both, the model answers."""

    status: int = 200
    text: str | None = None
    content: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    finish_reason: str = "stop"
    has_usage: bool = True


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def material(self) -> dict[str, Any]:
        """The JSON object of the user's turn."""
        document: dict[str, Any] = json.loads(self.body["messages"][-1]["content"])
        return document


class EndpointServer:
    """Context manager. `key` is the only key it takes; None takes every request.

    With `mood` copying it gives back what it was given, with rambling it never writes JSON.
    """

    def __init__(
        self, *, key: str | None = None, mood: Literal["obliging", "copying", "rambling"] = "obliging"
    ) -> None:
        self.key = key
        self.mood = mood
        self.received: list[Received] = []
        self.most_at_once = 0
        self._replies: deque[Reply] = deque()
        self._lock = threading.Lock()
        self._at_once = 0
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """The address to configure."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer_next(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        self._replies.extend(replies)

    def answer(self, received: Received) -> Reply:
        """The reply to one request; the text is filled in."""
        with self._lock:
            self.received.append(received)
            reply = self._replies.popleft() if self._replies else Reply()
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(reply.delay_seconds)
            return self._filled(reply, received)
        finally:
            with self._lock:
                self._at_once -= 1

    def _filled(self, reply: Reply, received: Received) -> Reply:
        if reply.text is not None:
            return reply
        if reply.status != 200 or reply.headers.get("location"):
            return _error(reply.status, "this was ordered", reply.headers)
        if self.key is not None and received.headers.get("authorization") != f"Bearer {self.key}":
            # Some real servers quote the key that they refuse.
            return _error(401, f"Incorrect API key provided: {received.headers.get('authorization')}", {})
        if received.path != "/v1/chat/completions":
            return _error(404, "Not Found", {})
        if received.body["model"] != MODEL:
            return _error(404, f"The model `{received.body['model']}` does not exist", {})
        content = self._say(received) if reply.content is None else reply.content
        document: dict[str, Any] = {
            "object": "chat.completion",
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": reply.finish_reason,
                }
            ],
        }
        if reply.has_usage:
            prompt = sum(len(message["content"]) for message in received.body["messages"])
            document["usage"] = {"prompt_tokens": prompt, "completion_tokens": len(content)}
        return Reply(text=json.dumps(document), headers=reply.headers)

    def _say(self, received: Received) -> str:
        if self.mood == "rambling":
            return "I would rather talk about the weather [it is fine] {really}."
        return json.dumps(answer_of_the_model(received.body["messages"], is_copying=self.mood == "copying"))


def answer_of_the_model(messages: list[dict[str, str]], *, is_copying: bool = False) -> dict[str, Any]:
    """What the model makes of the material: other words, rows like the examples, or questions about a passage."""
    material = json.loads(messages[-1]["content"])
    wanted = int(next(iter(re.findall(r"Write (\d+)", messages[0]["content"]))))
    if "passage" in material:
        sentences = [text.strip() for text in re.findall(r"[^.!?]+[.!?]", material["passage"])][:wanted]
        name = material["document"]
        return {
            "questions": [
                {"question": f"What does {name} say, point {n}?", "answer": text, "evidence": text}
                for n, text in enumerate(sentences, start=1)
            ]
        }
    if "examples" in material:
        shown = material["examples"]
        rows = [shown[n % len(shown)] for n in range(wanted)]
        if not is_copying:
            mark = hashlib.sha256(messages[-1]["content"].encode()).hexdigest()[:6]
            rows = [{name: f"{text} ({mark}-{n})" for name, text in row.items()} for n, row in enumerate(rows)]
        return {"rows": rows}
    if is_copying:
        return {"rewrites": [material] * wanted}
    leads = ("In other words", "Put differently", "That is to say", "Said again")
    return {
        "rewrites": [
            {name: f"{leads[n % len(leads)]}{'!' * (n // len(leads))}: {text}" for name, text in material.items()}
            for n in range(wanted)
        ]
    }


def _error(status: int, message: str, headers: dict[str, str]) -> Reply:
    text = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": None}})
    return Reply(status=status, text=text, headers=headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that had enough of waiting is part of the tests.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler_of(server: EndpointServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two packets; the second shall not wait for the first to be acknowledged.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.answer(Received(self.path, headers, body))
            data = (reply.text or "").encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the base class's
            """Requests are kept in `received`."""

    return Handler
