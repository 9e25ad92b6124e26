"""Whether the studio stays responsive while it imports a large data set, and how long that takes in all.

Starts the studio on an empty home folder, imports a file of short chats by its path, and asks for a page and for the
state of the import ten times a second meanwhile. Targets for 1 000 000 rows: 95 of 100 answers within half a second,
the whole import (rows, report, registry) within 180 s, under 300 MB in the web process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from benchmarks.data_import import QUICK_ROWS, TARGET_ROWS, write_rows
from benchmarks.startup import PROJECT, wait_for_page

TARGETS = {"answer_p95_s": 0.5, "import_s": 180.0, "web_memory_mb": 300.0}
PORT = 7898
PAUSE_SECONDS = 0.1
URL = f"http://127.0.0.1:{PORT}"


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, under a minute")
    rows = QUICK_ROWS if parser.parse_args().quick else TARGET_ROWS
    with tempfile.TemporaryDirectory() as folder:
        size = write_rows(Path(folder) / "chats.jsonl", rows)
        server = subprocess.Popen(
            [sys.executable, str(PROJECT / "app.py"), "--port", str(PORT)],
            env={**os.environ, "LAPIDARY_HOME": f"{folder}/home"},
        )
        try:
            wait_for_page(f"{URL}/", server)
            before = [answer_seconds("/data") for _ in range(20)]
            seconds, during, transfer = run_import(f"{folder}/chats.jsonl")
            memory = psutil.Process(server.pid).memory_info().rss / 1e6
        finally:
            server.terminate()
            server.wait()
    figures = {
        "answer_p95_s": round(percentile_95(during), 3),
        "import_s": round(seconds, 1),
        "web_memory_mb": round(memory, 1),
    }
    print(f"{rows:,} rows, {size / 1e6:.0f} MB, {transfer['state']} after {seconds:.1f} s")
    print(f"{'answers':<8} {'count':>6} {'median':>9} {'95 %':>9} {'slowest':>9}")
    for name, times in (("before", before), ("during", during)):
        median, most = statistics.median(times), max(times)
        print(f"{name:<8} {len(times):>6} {median:>7.3f} s {percentile_95(times):>7.3f} s {most:>7.3f} s")
    met = {name: figures[name] <= TARGETS[name] for name in TARGETS}
    print(json.dumps({"figures": figures, "targets": TARGETS, "met": met, "rows": rows}))


def run_import(source: str) -> tuple[float, list[float], dict[str, Any]]:
    """Import `source`; returns the seconds, how long each answer took meanwhile, and the transfer at its end."""
    began = time.monotonic()
    transfer = call("/api/datasets", {"source": source})
    times: list[float] = []
    while transfer["state"] not in ("completed", "failed", "interrupted", "cancelled"):
        times.append(answer_seconds("/data"))
        asked = time.monotonic()
        transfer = call(f"/api/transfers/{transfer['id']}")
        times.append(time.monotonic() - asked)
        time.sleep(PAUSE_SECONDS)
    return time.monotonic() - began, times, transfer


def answer_seconds(path: str) -> float:
    """How long the answer to one request takes."""
    began = time.monotonic()
    with urllib.request.urlopen(URL + path, timeout=60) as response:  # noqa: S310 - our own address
        response.read()
    return time.monotonic() - began


def call(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON answer to a GET, or to a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers={"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - our own address
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def percentile_95(times: list[float]) -> float:
    """The time within which 95 of 100 answers came."""
    return sorted(times)[min(len(times) - 1, round(0.95 * len(times)))]


if __name__ == "__main__":
    main()
