"""Finds texts that say the same: exactly, or in all but a few words. Imported by child processes only.

Near duplicates are found in three steps: MinHash signatures (rensa) of each text's word triples; candidates, which are
texts with an equal band of their signatures; and the true Jaccard similarity of each candidate pair. The last step
means that no pair is taken for alike below the threshold. The triples wait in a temporary file, so memory stays at
about 200 bytes a text.
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.data.example import Example, Message
from pipeline.data.minhash import PERMUTATIONS, candidates, digest, hash_bands
from pipeline.data.shingle_file import ShingleFile
from pipeline.data.shingles import HASH_BITS, MAX_BATCH_TEXTS, Shingler

THRESHOLD = 0.8
COMPARED_CHARACTERS = 1 << 16
# The estimate from 64 permutations is within this of the true similarity in 99 of 100 cases.
_ESTIMATE_MARGIN = 0.125
# Each of the 48 rounds may compare as many triples as half of all texts have, the likeliest pairs first.
_ROUND_SHARE = 0.5
_LEAST_ROUND_HASHES = 1 << 20
_BATCH_TEXTS, _BATCH_CHARACTERS, _BATCH_PAIR_HASHES = 4096, 1 << 21, 1 << 21
# Writing without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese characters. Each character counts as a word.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

Labels = npt.NDArray[np.int64]


def text_key(example: Example) -> str:
    """The words of an example by which it is compared: case folded, one space between them, no system turn.

    A system prompt is left out because many rows share it, which would make them all alike.
    """
    turns: Iterable[Message] = (*(example.messages or ()), *(example.chosen or ()), *(example.rejected or ()))
    parts = [turn.content for turn in turns if turn.role != "system"]
    parts += [str(turn.tool_calls) for turn in turns if turn.tool_calls]
    if example.text is not None:
        parts.append(example.text)
    return normalise(" ".join(parts))


def normalise(text: str) -> str:
    """Case folded, one space between words, at most COMPARED_CHARACTERS characters of it."""
    text = text[:COMPARED_CHARACTERS].casefold()
    if not text.isascii():
        text = _UNSPACED.sub(r" \g<0> ", text)
    return " ".join(text.split())


def hash_text(text: str) -> int:
    """64 bits of a text; some two of a million different texts share them with a chance of 3 in 100 million."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def exact_groups(texts: Iterable[str]) -> "array[int]":
    """For each text the index of the first that equals it. An empty text equals no other."""
    hashes = np.fromiter((hash_text(text) if text else 0 for text in texts), dtype=np.uint64)
    return as_array(group_equal(hashes, alone=hashes == 0))


def near_duplicate_groups(
    texts: Iterable[str], *, threshold: float = THRESHOLD, seed: int = 0, scratch: Path | None = None
) -> "array[int]":
    """For each text, as `text_key` gives it, the index of the first text of its group. An empty text is alone.

    A group is what chains of near duplicates connect. Fewer of the alike pairs are found below a `threshold` of 0.8,
    for which the bands are made. `scratch` is the folder of the temporary file.
    """
    with NearDuplicates(threshold=threshold, seed=seed, scratch=scratch) as found:
        for text in texts:
            found.add(text)
        return as_array(found.groups())


def group_equal(keys: npt.NDArray[np.uint64], *, alone: npt.NDArray[np.bool_]) -> Labels:
    """For each key the index of the first that equals it; those `alone` get their own."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.where(alone, np.arange(len(keys)), first[inverse])


def as_array(labels: Labels) -> "array[int]":
    """The same numbers without numpy."""
    return array("q", labels.astype(np.int64).tobytes())


class NearDuplicates:
    """Takes texts one by one, then groups them; a context manager that owns the temporary file.

    `left_out_pairs` is how many candidates were not compared because too many texts looked alike, and `common_triples`
    how many word triples were taken for the form of the data set; both are known after `groups`.
    """

    def __init__(self, *, threshold: float = THRESHOLD, seed: int = 0, scratch: Path | None = None) -> None:
        self.threshold, self.seed = threshold, seed
        self.left_out_pairs = self.common_triples = 0
        self._shingler = Shingler(seed=seed)
        self._file = ShingleFile(scratch)
        self._keys = array("Q")
        self._positions = array("q")
        self._waiting: list[str] = []
        self._waiting_characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def add(self, text: str) -> None:
        """Take the next text, as `text_key` gives it; an empty one is in no group but its own."""
        if text:
            self._positions.append(len(self._keys))
            self._waiting.append(text)
            self._waiting_characters += len(text)
            if len(self._waiting) == _BATCH_TEXTS or self._waiting_characters >= _BATCH_CHARACTERS:
                self._write_waiting()
        self._keys.append(hash_text(text) if text else 0)

    def groups(self) -> Labels:
        """For each text the index of the first text of its group."""
        self._write_waiting()
        labels = np.arange(len(self._keys))
        if not self._positions:
            return labels
        positions, keys = np.array(self._positions), np.array(self._keys, dtype=np.uint64)
        equal = group_equal(keys[positions], alone=np.zeros(len(positions), dtype=np.bool_))
        distinct = np.unique(equal)
        self._file.leave_out_common(distinct)
        self.common_triples = len(self._file.common)
        representatives = np.arange(len(positions))
        representatives[distinct] = self._group_distinct(distinct)
        labels[positions] = positions[representatives[equal]]
        return labels

    def _write_waiting(self) -> None:
        if self._waiting:
            self._file.append(self._shingler.shingle(self._waiting))
        self._waiting, self._waiting_characters = [], 0

    def _group_distinct(self, texts: Labels) -> Labels:
        """For each of these texts the smallest of its group."""
        signed, signatures, bands = self._sign(texts)
        groups = texts.copy()
        if len(signed):
            groups[signed] = texts[signed[self._connect(texts[signed], signatures, bands)]]
        return groups

    def _sign(self, texts: Labels) -> tuple[Labels, npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
        """Places in `texts` that have triples left, their signatures (eight bits a slot) and their bands' hashes."""
        signed, signatures, bands, place = [], [], [], 0
        for batch in self._file.batches(texts):
            shingled = self._file.read(batch)
            filled = np.flatnonzero(np.diff(shingled.offsets))
            digests = digest(shingled, seed=self.seed)[filled]
            signed.append(filled + place)
            signatures.append(digests.astype(np.uint8))
            bands.append(hash_bands(digests))
            place += len(batch)
        return np.concatenate(signed), np.concatenate(signatures), np.concatenate(bands)

    def _connect(self, texts: Labels, signatures: npt.NDArray[np.uint8], bands: npt.NDArray[np.uint32]) -> Labels:
        """For each of these texts the place of the first that it is connected with."""
        sizes = self._file.sizes()[texts]
        limit = max(int(sizes.sum() * _ROUND_SHARE), _LEAST_ROUND_HASHES)
        parents = np.arange(len(texts))
        for left, right in candidates(bands):
            labels = _resolve(parents)
            apart = labels[left] != labels[right]
            left, right = left[apart], right[apart]
            agreeing = np.count_nonzero(signatures[left] == signatures[right], axis=1)
            order = np.argsort(-agreeing, kind="stable")
            order = order[agreeing[order] >= (self.threshold - _ESTIMATE_MARGIN) * PERMUTATIONS]
            costs = np.cumsum(sizes[left[order]] + sizes[right[order]])
            affordable = int(np.searchsorted(costs, limit, side="right"))
            self.left_out_pairs += len(order) - affordable
            for chosen in _batches(order[:affordable], costs):
                alike = self._similarities(texts[left[chosen]], texts[right[chosen]]) >= self.threshold
                _unite(parents, left[chosen][alike], right[chosen][alike])
        return _resolve(parents)

    def _similarities(self, left: Labels, right: Labels) -> npt.NDArray[np.float64]:
        """The Jaccard similarity of each pair, from its two sets of triples."""
        both = self._file.read(np.stack((left, right), axis=1).reshape(-1))
        total = np.diff(both.offsets[::2])
        keys = both.hashes | (np.repeat(np.arange(len(left), dtype=np.uint64), total) << np.uint64(HASH_BITS))
        keys.sort()
        shared = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
        common = np.bincount(shared.astype(np.int64), minlength=len(left))
        similarities: npt.NDArray[np.float64] = common / (total - common)
        return similarities


def _batches(pairs: Labels, costs: Labels) -> Iterator[Labels]:
    """The pairs in their order, few enough at a time for their triples to fit in memory."""
    start = 0
    while start < len(pairs):
        before = costs[start - 1] if start else 0
        end = max(int(np.searchsorted(costs, before + _BATCH_PAIR_HASHES)), start + 1)
        end = min(end, start + MAX_BATCH_TEXTS, len(pairs))
        yield pairs[start:end]
        start = end


def _resolve(parents: Labels) -> Labels:
    """Point every member at the first of its group, and return that."""
    while not np.array_equal(grand := parents[parents], parents):
        parents[:] = grand
    return parents


def _unite(parents: Labels, left: Labels, right: Labels) -> None:
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        first, second = _root(parents, one), _root(parents, other)
        parents[max(first, second)] = min(first, second)


def _root(parents: Labels, index: int) -> int:
    while (parent := int(parents[index])) != index:
        index = parent
    return index
