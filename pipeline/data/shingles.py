"""Turns texts into hashes of their word triples, many texts at once. Imported by child processes only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Triples of words: one changed word costs three of them, so a row of 30 words may differ by one word at 0.8.
WORDS_PER_SHINGLE = 3
# A hash leaves room above it for the number of a text in its batch, so that one sort serves a whole batch.
HASH_BITS = 51
MAX_BATCH_TEXTS = 1 << (64 - HASH_BITS)

Hashes = npt.NDArray[np.uint64]
_HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
_SPACE, _LINE_FEED = 32, 10


@dataclass(frozen=True)
class ShingledTexts:
    """The distinct hashes of a batch, text after text, ascending within each; text i owns
    `hashes[offsets[i]:offsets[i + 1]]`."""

    hashes: Hashes
    offsets: npt.NDArray[np.int64]


class Shingler:
    """Hashes every run of three words by a polynomial over its bytes; equal seeds give equal hashes.

    The hash of the bytes s to e is (H[e] - H[s]) / base**s modulo 2**64, with H the running sum of value *
    base**position: one pass over the bytes serves all runs, however much they overlap.
    """

    def __init__(self, *, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._values = generator.integers(1, 2**64, size=256, dtype=np.uint64)
        base = int(generator.integers(2**32, 2**63, dtype=np.uint64)) | 1
        self._base, self._inverse = np.uint64(base), np.uint64(pow(base, -1, 2**64))
        self._powers, self._inverses = _powers_of(self._base, 1 << 16), _powers_of(self._inverse, 1 << 16)

    def shingle(self, texts: Sequence[str]) -> ShingledTexts:
        """The distinct hashes of each text. Texts are normalised: words with one space between them, none empty.

        Raises:
            ValueError: more than MAX_BATCH_TEXTS texts.
        """
        if len(texts) > MAX_BATCH_TEXTS:
            raise ValueError(f"{len(texts)} texts in one batch; {MAX_BATCH_TEXTS} at most")
        data = np.frombuffer("\n".join(texts).encode("utf-8", "surrogatepass"), dtype=np.uint8)
        starts, ends, owners = _runs_of_words(data)
        hashes = (self._hash_spans(data, starts, ends) & _HASH_MASK) | (owners << np.uint64(HASH_BITS))
        hashes.sort()
        hashes = hashes[np.concatenate(([True], hashes[1:] != hashes[:-1]))]
        counts = np.bincount((hashes >> np.uint64(HASH_BITS)).astype(np.int64), minlength=len(texts))
        return ShingledTexts(hashes & _HASH_MASK, np.concatenate(([0], np.cumsum(counts))))

    def _hash_spans(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> Hashes:
        if len(self._powers) < len(data):
            self._powers, self._inverses = _powers_of(self._base, len(data)), _powers_of(self._inverse, len(data))
        terms = self._values[data]
        terms *= self._powers[: len(data)]
        sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)))
        spans: Hashes = (sums[ends] - sums[starts]) * self._inverses[starts]
        # The low bits of such a polynomial depend on few bits of the text; multiply and fold to spread them.
        spans ^= spans >> np.uint64(32)
        spans *= np.uint64(0x9E3779B97F4A7C15)
        spans ^= spans >> np.uint64(29)
        return spans


def _runs_of_words(
    data: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Start and end of each run of words in bytes, and the number of its text; a shorter text is one run."""
    breaks = np.flatnonzero((data == _SPACE) | (data == _LINE_FEED))
    word_starts, word_ends = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(data)]))
    last_words = np.concatenate((np.flatnonzero(data[breaks] == _LINE_FEED), [len(breaks)]))
    words = np.diff(last_words, prepend=-1)
    runs = np.maximum(words - (WORDS_PER_SHINGLE - 1), 1)
    owners = np.repeat(np.arange(len(words)), runs)
    nth = np.arange(len(owners)) - np.repeat(np.cumsum(runs) - runs, runs)
    first = (last_words - words + 1)[owners] + nth
    last = np.minimum(first + (WORDS_PER_SHINGLE - 1), last_words[owners])
    return word_starts[first], word_ends[last], owners.astype(np.uint64)


def _powers_of(base: np.uint64, count: int) -> Hashes:
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
