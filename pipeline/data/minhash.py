"""MinHash signatures of texts, and which pairs of them are worth a comparison. Imported by child processes only."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from pipeline.data.shingles import ShingledTexts

# Bands of five in 64 permutations: a pair with a similarity of 0.8 shares one in 99 of 100 cases, others more often.
PERMUTATIONS, BANDS, BAND_SIZE = 64, 12, 5
# Texts of one band are compared with this many neighbours each, so that a band which most texts share costs no square.
NEIGHBOURS = 4

Digests = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]


def digest(texts: ShingledTexts, *, seed: int) -> Digests:
    """One signature of PERMUTATIONS numbers a text; the share of equal ones estimates the Jaccard similarity."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        texts.hashes, texts.offsets.astype(np.uint64), num_perm=PERMUTATIONS, seed=seed
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)


def hash_bands(digests: Digests) -> npt.NDArray[np.uint32]:
    """One number a band of each signature; equal bands have equal numbers."""
    slots = digests[:, : BANDS * BAND_SIZE].reshape(len(digests), BANDS, BAND_SIZE).astype(np.uint64)
    hashes = np.zeros(slots.shape[:2], dtype=np.uint64)
    for slot in range(BAND_SIZE):
        hashes = (hashes ^ slots[:, :, slot]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(31)
    return (hashes >> np.uint64(32)).astype(np.uint32)


def candidates(bands: npt.NDArray[np.uint32]) -> Iterator[tuple[Places, Places]]:
    """Pairs with an equal band, in BANDS * NEIGHBOURS rounds.

    In a band that many texts share, those whose next band is equal too are neighbours.
    """
    for band in range(BANDS):
        order = np.lexsort((bands[:, (band + 1) % BANDS], bands[:, band]))
        keys = bands[order, band]
        for distance in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            equal = np.flatnonzero(keys[distance:] == keys[:-distance])
            yield order[equal], order[equal + distance]
