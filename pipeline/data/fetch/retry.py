"""How often, and after which waits, something that failed elsewhere is tried again."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.errors import StorageFailed

# After each failure in a row of a transfer: together a minute, the length of an ordinary network trouble.
WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# For a first question: that a place cannot be reached at all should be told within seconds.
ASK_WAITS_SECONDS = (0.5, 1.0, 2.0)
# What a server may ask for at most; an import that stands still for longer should say so and end.
LONGEST_WAIT_SECONDS = 300.0
_Result = TypeVar("_Result")


class TryAgain(Exception):
    """The other side failed in a way that may pass; the text is the reason, without a full stop.

    `wait` is how many seconds it asked for, or None.
    """

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def wait_after(error: TryAgain, failures: int, *, waits: Sequence[float], what: str) -> float:
    """Seconds to wait after so many failures in a row.

    Raises:
        StorageFailed: there were too many, or the server asks for too long a wait.
    """
    if failures > len(waits):
        raise StorageFailed(
            f"{what} cannot be fetched: {error} ({failures} times in a row). Check the network and try again; what has "
            "arrived is kept."
        ) from error
    if error.wait is not None and error.wait > LONGEST_WAIT_SECONDS:
        raise StorageFailed(
            f"{what} cannot be fetched now: {error}, and asks to wait {error.wait / 60:.0f} minutes. Try again then; "
            "what has arrived is kept."
        ) from error
    return waits[failures - 1] if error.wait is None else error.wait


def ask(question: Callable[[], _Result], *, what: str, waits: Sequence[float] = ASK_WAITS_SECONDS) -> _Result:
    """What `question` returns, asked again while it raises TryAgain.

    Raises:
        StorageFailed: it failed too often.
    """
    failures = 0
    while True:
        try:
            return question()
        except TryAgain as error:
            failures += 1
            time.sleep(wait_after(error, failures, waits=waits, what=what))
