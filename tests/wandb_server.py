"""A server of Weights & Biases on 127.0.0.1: what a run of scalars uses of its GraphQL and its file streams."""

import base64
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

KEY = "k" * 40
ENTITY = "ana"


@dataclass
class StoredRun:
    """What the server was sent about one run."""

    project: str
    name: str
    display_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    def series(self, name: str) -> list[tuple[int, float]]:
        """The points of a curve over its step, in the order they came."""
        return [(row["step"], row[name]) for row in self.history if name in row]

    def bucket(self) -> dict[str, Any]:
        """The run as GraphQL answers it."""
        return {
            "id": self.name,
            "name": self.name,
            "displayName": self.display_name,
            "description": "",
            "config": json.dumps({key: {"value": value} for key, value in self.config.items()}),
            "summaryMetrics": json.dumps(self.summary),
            "historyLineCount": len(self.history),
            "historyTail": json.dumps([json.dumps(row) for row in self.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": [],
            "notes": "",
            "wandbConfig": json.dumps({"t": 1}),
            "project": {"id": self.project, "name": self.project, "entity": {"id": ENTITY, "name": ENTITY}},
        }


class WandbServer:
    """Context manager. In the mood "deaf" it opens runs but never answers a file stream."""

    def __init__(self, *, mood: Literal["kind", "deaf"] = "kind") -> None:
        self.mood = mood
        self.runs: dict[str, StoredRun] = {}
        self.bodies: list[str] = []
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """The address to configure."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """The JSON answer to one authorised request."""
        self.bodies.append(body.decode(errors="replace"))
        match path.strip("/").split("/"):
            case ["graphql"]:
                request = json.loads(body)
                return {"data": self._graphql(request["operationName"], request["variables"])}
            case ["files", _, _, name, "file_stream"]:
                self._take_stream(self.runs[name], json.loads(body))
            case ["upload", name, *file] if method == "PUT":
                self.runs[name].files["/".join(file)] = body
        return {}

    def _graphql(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "RunResumeStatus":
                run = self.runs.get(variables["name"])
                project = {"id": "p", "name": variables["project"], "entity": {"id": ENTITY, "name": ENTITY}}
                return {"model": {**project, "bucket": None if run is None else run.bucket()}}
            case "UpsertBucket":
                name, is_new = variables["name"], variables["name"] not in self.runs
                run = self.runs.setdefault(name, StoredRun(variables["project"], name))
                run.display_name = variables["displayName"] or run.display_name
                run.config |= {key: value["value"] for key, value in json.loads(variables["config"] or "{}").items()}
                return {"upsertBucket": {"bucket": run.bucket(), "inserted": is_new}}
            case "CreateRunFiles":
                files = [
                    {"name": name, "uploadUrl": f"{self.base_url}/upload/{variables['run']}/{name}"}
                    for name in variables["files"]
                ]
                return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
            case _:
                return {}

    def _take_stream(self, run: StoredRun, sent: dict[str, Any]) -> None:
        while self.mood == "deaf" and not self.closing.is_set():
            time.sleep(0.01)
        files = sent.get("files", {})
        if history := files.get("wandb-history.jsonl"):
            del run.history[history["offset"] :]
            run.history += [json.loads(line) for line in history["content"]]
        if summary := files.get("wandb-summary.json"):
            run.summary = json.loads(summary["content"][-1])
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that had enough of waiting is part of the tests.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler_of(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two packets; the second shall not wait for the first to be acknowledged.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            user = base64.b64encode(f"api:{KEY}".encode()).decode()
            is_allowed = self.headers.get("authorization") == f"Basic {user}" or self.path.startswith("/upload/")
            answer = server.answer(self.command, self.path, body) if is_allowed else {"error": "invalid api key"}
            data = json.dumps(answer).encode()
            self.send_response(200 if is_allowed else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_PUT = do_POST

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the base class's
            """Requests are kept in `bodies`."""

    return Handler
