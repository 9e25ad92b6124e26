"""Explains a process that ended without a word: by its signal, and by the last lines of its log."""

import errno
import signal
from pathlib import Path

from pipeline.job_tracker import DISK_FULL
from pipeline.run_dir import RunDir

_LOG_TAIL_BYTES = 8192
_CLUES = (
    ("No space left on device", "disk_full", DISK_FULL),
    ("out of memory", "out_of_memory", "The GPU ran out of memory. Use smaller batches or gradient checkpointing."),
    ("MemoryError", "out_of_memory", "The machine ran out of memory. Use smaller batches or a smaller model."),
    (
        "ModuleNotFoundError: No module named",
        "missing_package",
        "A Python package is missing; the log names it. Install it.",
    ),
)


def explain_death(run_dir: RunDir, exit_code: int | None) -> tuple[str, str]:
    """A code and a sentence for a process that left neither a manifest nor a reason."""
    if exit_code == errno.ENOSPC:
        return "disk_full", DISK_FULL
    if exit_code == -signal.SIGKILL:
        return "killed", "The process was killed (signal 9), most likely because the machine ran out of memory."
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return "killed", f"The process was ended from outside ({name}). Start the run again."
    tail = _tail(run_dir.log_file)
    for clue, code, sentence in _CLUES:
        if clue in tail:
            return code, sentence
    if exit_code is None:
        return "vanished", "The process ended while nobody watched, before the run was complete. Start it again."
    return "died", f"The process ended with exit code {exit_code} and gave no reason. The log has its last words."


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")
