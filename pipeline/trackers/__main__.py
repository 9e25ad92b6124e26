"""The process of one tracker: `python -m pipeline.trackers NAME RUN_DIR RUN_ID`.

Standard input is silent as long as the run lives. Events to record go to standard output, one JSON line each.
"""

import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UserError
from pipeline.events import Event, WarningRaised
from pipeline.run_dir import RunDir
from pipeline.trackers import TRACKERS, TrackedRun, TrackerFailed, tracker_module
from pipeline.trackers.follow import follow
from pipeline.trackers.told import open_told

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_LONGEST_REASON = 500


def main(arguments: Sequence[str]) -> int:
    """Tell the tracker of the run until the run ends. Returns 0, or 1 after a failure, which is reported."""
    name, folder, run_id = arguments
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    # The signal that ends the run goes to its whole group; the values of its last steps are still to be sent.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    reports, life = _keep_pipes()

    def report(event: Event) -> None:
        # A run that was killed has nobody left to record it; its values are sent all the same.
        with suppress(BrokenPipeError):
            os.write(reports, event.model_dump_json().encode() + b"\n")

    try:
        _track(name, RunDir(Path(folder)), run_id=run_id, life=life, report=report)
    except Exception as error:
        logger.exception("%s failed", name)
        report(WarningRaised(code=TrackerFailed.code, message=_sentence(name, error)))
        return 1
    return 0


def _track(name: str, run_dir: RunDir, *, run_id: str, life: int, report: Callable[[Event], None]) -> None:
    parent = os.getppid()
    run = TrackedRun(run_dir.read_training_config(), run_id=run_id, folder=run_dir.tracking, report=report)
    with open_told(run_dir.tracking / f"{name}.told") as place:
        tracker = tracker_module(name).open_tracker(run)
        completed = follow(run_dir, tracker, place=place, run_ended=lambda: _has_ended(life, parent))
        tracker.finish(completed=completed)


def _keep_pipes() -> tuple[int, int]:
    """Descriptors of the pipes to and from the run, out of reach of what libraries print and start."""
    reports, life = os.dup(1), os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return reports, life


def _has_ended(life: int, parent: int) -> bool:
    """Whether the run said so or is gone. Waits a moment; a copy of the pipe may live on in a forked worker."""
    return bool(select.select([life], [], [], _POLL_SECONDS)[0]) or os.getppid() != parent


def _sentence(name: str, error: Exception) -> str:
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}."
    if key := os.environ.get("WANDB_API_KEY"):
        reason = reason.replace(key, "…")
    return f"{TRACKERS[name].title} gets no more values of this run; the run goes on. {reason[:_LONGEST_REASON]}"


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    # What a library does at exit may wait for a network that does not answer.
    os._exit(status)
