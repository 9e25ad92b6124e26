"""A real studio in a process of its own, on a free port of 127.0.0.1."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.estimates import write_rates

PROJECT = Path(__file__).parents[1]
START_SECONDS = 60.0


@dataclass
class StudioProcess:
    """`python app.py` with a home of its own."""

    home: Path
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        write_rates(self.home)
        self.port = self.port or free_port()
        environment = {**os.environ, "LAPIDARY_HOME": str(self.home), **self.environment}
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROJECT / "app.py"), "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env=environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.get("/health")
                return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, (self.home / "server.log").read_text()
                time.sleep(0.1)
        raise AssertionError(f"no answer after {START_SECONDS} s: {(self.home / 'server.log').read_text()}")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        return code

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            body = response.read()
            return json.loads(body) if body else None

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps({} if body is None else body).encode(),
            headers={"content-type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def wait_for(self, job_id: str, *states: str, seconds: float = 180) -> dict[str, Any]:
        """The job as soon as it is in one of `states`."""
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            job = self.get(f"/api/jobs/{job_id}")
            if job["state"] in states:
                return job
            time.sleep(0.2)
        raise AssertionError(f"{job_id} is {job['state']} after {seconds} s, not {states}: {job['error']}")

    def wait_for_step(self, job_id: str, step: int, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            job = self.get(f"/api/jobs/{job_id}")
            if job["step"] >= step:
                return job
            assert job["state"] in ("queued", "starting", "running"), job
            time.sleep(0.1)
        raise AssertionError(f"{job_id} is at step {job['step']} after {seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
