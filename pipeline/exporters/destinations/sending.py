"""How sending is tried again, in the same waits as fetching, and what a user is told when it fails too often."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.data.fetch.retry import LONGEST_WAIT_SECONDS, WAITS_SECONDS, TryAgain
from pipeline.errors import StorageFailed

_Result = TypeVar("_Result")


def try_to_send(
    action: Callable[[], _Result],
    *,
    what: str,
    waits: Sequence[float] = WAITS_SECONDS,
    position: Callable[[], int] = lambda: 0,
) -> _Result:
    """What `action` returns, done again while it raises TryAgain.

    `position` is how many bytes have arrived: a failure after more of them is the first one in a row.

    Raises:
        StorageFailed: it failed too often, or the server asks for too long a wait.
    """
    failures, furthest = 0, position()
    while True:
        try:
            return action()
        except TryAgain as error:
            failures = 1 if position() > furthest else failures + 1
            furthest = max(furthest, position())
            if failures > len(waits):
                raise StorageFailed(
                    f"Nothing can be sent to {what}: {error} ({failures} times in a row). Check the network and try "
                    "again; what has arrived is kept."
                ) from error
            if error.wait is not None and error.wait > LONGEST_WAIT_SECONDS:
                raise StorageFailed(
                    f"Nothing can be sent to {what} now: {error}, and it asks to wait {error.wait / 60:.0f} minutes. "
                    "Try again then; what has arrived is kept."
                ) from error
            time.sleep(waits[failures - 1] if error.wait is None else error.wait)
