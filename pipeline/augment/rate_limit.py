"""TokenBucket: lets a number of requests a minute through, evenly, from any thread."""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """A bucket that gains `per_minute` tokens a minute and holds `capacity` of them.

    One token of capacity spaces the requests evenly: providers count over windows of their own, and a burst at the
    border of two windows counts twice.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        capacity: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._seconds_per_token = 60.0 / per_minute
        self._capacity = capacity
        self._clock = clock
        self._sleep = sleep
        self._tokens = capacity
        self._filled_at = clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take one token, waiting for it; the seconds waited."""
        with self._lock:
            now = self._clock()
            gained = (now - self._filled_at) / self._seconds_per_token
            # Below zero: tokens promised to threads that sleep for them now.
            self._tokens = min(self._capacity, self._tokens + gained) - 1
            self._filled_at = now
            wait = max(0.0, -self._tokens * self._seconds_per_token)
        if wait:
            self._sleep(wait)
        return wait
