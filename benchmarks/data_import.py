"""How long a large data set takes to import and to check, and how much memory the child processes need.

Writes a file of short chats, three of a hundred almost the same as another row and two the same, then imports it and
checks its integrity, each in a process of its own. Targets for 1 000 000 rows (about 300 MB): import at most 60 s,
report at most 120 s, under 2 GB. Other numbers of rows are extrapolated in proportion, memory is as measured.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET_ROWS = 1_000_000
QUICK_ROWS = 50_000
TARGETS = {"import_s": 60.0, "report_s": 120.0, "peak_mb": 2000.0}
QUESTION_WORDS, ANSWER_WORDS = 14, 24
DUPLICATES, NEAR_DUPLICATES = 0.02, 0.03
PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Step:
    """One child process: wall seconds, and the peak of its resident memory."""

    name: str
    seconds: float
    peak_mb: float


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, under a minute")
    parser.add_argument("--rows", type=int, default=TARGET_ROWS)
    parser.add_argument("--child", choices=("import", "report"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        {"import": run_import, "report": run_report}[options.child](options.folder)
        return
    rows = QUICK_ROWS if options.quick else options.rows
    with tempfile.TemporaryDirectory() as folder:
        size_mb = write_rows(Path(folder) / "chats.jsonl", rows) / 1e6
        steps = [measure(name, Path(folder)) for name in ("import", "report")]
    print(f"{rows:,} rows, {size_mb:.0f} MB")
    print(f"{'step':<8} {'seconds':>9} {'rows/s':>9} {'peak':>9}")
    for step in steps:
        print(f"{step.name:<8} {step.seconds:>9.1f} {rows / step.seconds:>9,.0f} {step.peak_mb:>6.0f} MB")
    scale = TARGET_ROWS / rows
    figures = {f"{step.name}_s": round(step.seconds * scale, 1) for step in steps}
    figures["peak_mb"] = round(max(step.peak_mb for step in steps), 1)
    met = {name: figures[name] <= TARGETS[name] for name in TARGETS}
    print(json.dumps({"figures": figures, "targets": TARGETS, "met": met, "rows": rows, "size_mb": round(size_mb, 1)}))


def write_rows(path: Path, count: int) -> int:
    """Write chats as JSON lines; returns the bytes."""
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        for question, answer in chats(count):
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": turns}) + "\n")
    return path.stat().st_size


def chats(count: int) -> Iterator[tuple[str, str]]:
    """Questions and answers of random words; the same for every call."""
    chooser = random.Random(0)  # noqa: S311 - the rows are to be the same every time
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(chooser.choices(letters, k=chooser.randint(2, 9))) for _ in range(20_000)]
    words: list[str] = []
    for _ in range(count):
        draw = chooser.random()
        if not words or draw >= DUPLICATES + NEAR_DUPLICATES:
            words = chooser.choices(vocabulary, k=QUESTION_WORDS + ANSWER_WORDS)
        elif draw >= DUPLICATES:
            words[chooser.randrange(len(words))] = "changed"
        yield " ".join(words[:QUESTION_WORDS]), " ".join(words[QUESTION_WORDS:])


def measure(name: str, folder: Path) -> Step:
    """Run one step in a child process."""
    command = [sys.executable, "-m", "benchmarks.data_import", "--child", name, "--folder", str(folder)]
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=PROJECT)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"the step {name} ended with exit code {child.returncode}")
    return Step(name, seconds, usage.ru_maxrss / 1e3)


def run_import(folder: Path) -> None:
    """Import the file as an import job does."""
    from pipeline.data.import_source import import_source
    from pipeline.data_config import ImportJobConfig

    config = ImportJobConfig(name="chats", source=str(folder / "chats.jsonl"))
    import_source(config, folder / "dataset", downloads=folder / "downloads", progress=lambda progress: None)


def run_report(folder: Path) -> None:
    """Check the imported rows, near duplicates included."""
    from pipeline.data.integrity.check import check_integrity
    from pipeline.data.row_store import FLAGS_FILE, RowStore

    store = RowStore(folder / "dataset")
    recognition: Any = store.summary.recognition
    flags = store.folder / FLAGS_FILE
    check_integrity(store, recognition.mapping, flags=flags, progress=lambda share, message: None)


if __name__ == "__main__":
    main()
