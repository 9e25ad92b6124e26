"""How fast the studio opens, how much memory it holds, and what it costs when nothing happens.

Starts `python app.py` several times on an empty home folder and reads /proc. Targets: first page after at most 8 s
(median), under 300 MB, under 2 % of a core when idle, torch not loaded.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).parents[1]
TARGETS = {"first_page_s": 8.0, "memory_mb": 300.0, "idle_cpu_percent": 2.0}
PORT = 7899
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Start:
    """One start of the studio."""

    first_page_s: float
    memory_mb: float
    idle_cpu_percent: float
    torch_loaded: bool


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two starts and a short idle time, under a minute")
    quick = parser.parse_args().quick
    starts = [measure(idle_seconds=5 if quick else 20) for _ in range(2 if quick else 5)]
    print(f"{'start':>5} {'first page':>11} {'memory':>9} {'idle CPU':>9} {'torch':>6}")
    for number, start in enumerate(starts, start=1):
        print(
            f"{number:>5} {start.first_page_s:>9.2f} s {start.memory_mb:>6.0f} MB {start.idle_cpu_percent:>7.2f} % "
            f"{'yes' if start.torch_loaded else 'no':>6}"
        )
    figures = {name: round(statistics.median(getattr(start, name) for start in starts), 2) for name in TARGETS}
    met = {name: figures[name] <= TARGETS[name] for name in TARGETS}
    met["torch_not_loaded"] = not any(start.torch_loaded for start in starts)
    print(json.dumps({"figures": figures, "targets": TARGETS, "met": met, "starts": len(starts)}))


def measure(*, idle_seconds: float) -> Start:
    """Start the studio, open its first page, leave it alone, and look at the process."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "LAPIDARY_HOME": home}
        began = time.monotonic()
        server = subprocess.Popen([sys.executable, str(PROJECT / "app.py"), "--port", str(PORT)], env=environment)
        try:
            wait_for_page(f"http://127.0.0.1:{PORT}/", server)
            first_page = time.monotonic() - began
            process = psutil.Process(server.pid)
            time.sleep(2)  # what starting leaves to do is not idling
            before = process.cpu_times()
            time.sleep(idle_seconds)
            after = process.cpu_times()
            busy = (after.user - before.user) + (after.system - before.system)
            torch_loaded = any("/torch/" in mapping.path for mapping in process.memory_maps())
            memory = process.memory_info().rss / 1e6
        finally:
            server.terminate()
            server.wait()
    return Start(first_page, memory, 100 * busy / idle_seconds, torch_loaded)


def wait_for_page(url: str, server: "subprocess.Popen[bytes]") -> None:
    """Return when the page has been answered in full."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the studio ended with exit code {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
                response.read()
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise RuntimeError(f"no page after {TIMEOUT_SECONDS} s")


if __name__ == "__main__":
    main()
