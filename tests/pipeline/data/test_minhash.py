"""Signatures of texts and candidates for a comparison."""

import numpy as np

from pipeline.data.minhash import BANDS, PERMUTATIONS, candidates, digest, hash_bands
from pipeline.data.shingles import ShingledTexts


def sets(*members: range) -> ShingledTexts:
    """Texts whose hashes are these numbers."""
    hashes = np.concatenate([np.array(member, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) for member in members])
    return ShingledTexts(hashes, np.cumsum([0, *map(len, members)]))


def test_share_of_equal_numbers_estimates_the_similarity() -> None:
    signatures = digest(sets(range(0, 900), range(100, 1000), range(5000, 6000)), seed=1)
    assert signatures.shape == (3, PERMUTATIONS)
    assert abs(np.mean(signatures[0] == signatures[1]) - 0.8) < 0.2
    assert np.mean(signatures[0] == signatures[2]) < 0.1


def test_same_seed_gives_the_same_signatures() -> None:
    one, same, other = (digest(sets(range(50)), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_equal_texts_are_candidates_in_every_band_and_different_ones_in_none() -> None:
    bands = hash_bands(digest(sets(range(50), range(1000, 1050), range(50)), seed=1))
    pairs = [tuple(sorted(pair)) for left, right in candidates(bands) for pair in zip(left, right, strict=True)]
    assert pairs == [(0, 2)] * BANDS


def test_band_that_all_texts_share_gives_few_candidates_a_text() -> None:
    bands = hash_bands(digest(sets(*[range(50)] * 200), seed=1))
    assert sum(len(left) for left, _ in candidates(bands)) < BANDS * 4 * 200


def test_one_text_has_no_candidates() -> None:
    assert [len(left) for left, _ in candidates(hash_bands(digest(sets(range(5)), seed=1)))] == []
