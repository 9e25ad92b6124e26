"""BoundedRegex: a regular expression that cannot hang a run, because a search that takes too long is given up."""

import logging

import regex

from pipeline.errors import RewardFailed

logger = logging.getLogger(__name__)

# A search takes microseconds; one that backtracks without end would take years.
LONGEST_SEARCH_SECONDS = 1.0
MOST_GIVEN_UP = 20


class BoundedRegex:
    """A compiled pattern, without anchors of its own as in `re.search`.

    Raises:
        RewardFailed: the pattern is no regular expression.
    """

    def __init__(self, pattern: str, *, dot_matches_all: bool = False) -> None:
        try:
            self._compiled = regex.compile(pattern, regex.DOTALL if dot_matches_all else 0)
        except regex.error as error:
            raise RewardFailed(f"{pattern!r} is no regular expression: {error}. Correct it there.") from error
        except (MemoryError, OverflowError, RecursionError) as error:
            raise RewardFailed(f"{pattern!r} is too large to be compiled. Repeat less in it.") from error
        self._given_up = 0

    @property
    def groups(self) -> int:
        """How many groups the pattern captures."""
        return int(self._compiled.groups)

    def search(self, text: str) -> "regex.Match[str] | None":
        """The first match in the text; None where there is none, or where the search took too long.

        Raises:
            RewardFailed: searches have taken too long too often.
        """
        try:
            return self._compiled.search(text, timeout=LONGEST_SEARCH_SECONDS)
        except TimeoutError as error:
            self._given_up += 1
            told = f"The search for {self._compiled.pattern!r} took more than {LONGEST_SEARCH_SECONDS:g} s"
            if self._given_up >= MOST_GIVEN_UP:
                raise RewardFailed(
                    f"{told} in {self._given_up} answers. Write it without a repetition inside a repetition."
                ) from error
            logger.warning("%s in an answer of %d characters, which counts as no match.", told, len(text))
            return None
