"""ShingleFile: the hashes of many texts' word triples, kept on disk instead of in memory. For child processes only."""

import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.data.shingles import Hashes, ShingledTexts

# A triple in more than half of the texts is the form of the data set (an instruction, a greeting), not what a row says.
COMMON_SHARE = 0.5
COMMON_SAMPLE = 4096
COMMON_LEAST_TEXTS = 100
_HASH_BYTES = 8
_BATCH_HASHES, _BATCH_TEXTS = 1 << 19, 4096


class ShingleFile:
    """Appends and reads; a context manager that owns its temporary file. Texts are numbered from 0."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._offsets = array("q", [0])
        self.common: Hashes = np.zeros(0, dtype=np.uint64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, shingled: ShingledTexts) -> None:
        """Add the texts of a batch."""
        self._file.write(shingled.hashes.tobytes())
        self._offsets.frombytes((shingled.offsets[1:] + self._offsets[-1]).astype(np.int64).tobytes())

    def sizes(self) -> npt.NDArray[np.int64]:
        """How many hashes each text has, common ones included."""
        offsets = np.array(self._offsets, dtype=np.int64)
        return offsets[1:] - offsets[:-1]

    def read(self, texts: npt.NDArray[np.int64]) -> ShingledTexts:
        """The hashes of these texts, without the common ones."""
        self._file.flush()
        number = self._file.fileno()
        spans = [(self._offsets[text], self._offsets[text + 1]) for text in texts.tolist()]
        parts = [os.pread(number, (end - start) * _HASH_BYTES, start * _HASH_BYTES) for start, end in spans]
        hashes = np.frombuffer(b"".join(parts), dtype=np.uint64)
        sizes = np.array([end - start for start, end in spans], dtype=np.int64)
        if len(self.common):
            places = np.minimum(np.searchsorted(self.common, hashes), len(self.common) - 1)
            kept = self.common[places] != hashes
            owners = np.repeat(np.arange(len(texts)), sizes)[kept]
            hashes, sizes = hashes[kept], np.bincount(owners, minlength=len(texts))
        return ShingledTexts(hashes, np.concatenate(([0], np.cumsum(sizes))))

    def batches(self, texts: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        """These texts in their order, a few thousand at a time; fewer where they are long."""
        totals = np.cumsum(self.sizes()[texts])
        start = 0
        while start < len(texts):
            before = totals[start - 1] if start else 0
            end = max(int(np.searchsorted(totals, before + _BATCH_HASHES)), start + 1)
            end = min(end, start + _BATCH_TEXTS)
            yield texts[start:end]
            start = end

    def leave_out_common(self, texts: npt.NDArray[np.int64]) -> None:
        """From now on read without the hashes that most of these texts share, judged by an even sample of them."""
        if len(texts) < COMMON_LEAST_TEXTS:
            return
        sample = texts[:: -(-len(texts) // COMMON_SAMPLE)]
        pieces = [self.read(batch).hashes for batch in self.batches(sample)]
        counts: dict[int, int] = {}
        for piece in pieces:
            hashes, numbers = np.unique(piece, return_counts=True)
            for key, number in zip(hashes.tolist(), numbers.tolist(), strict=True):
                counts[key] = counts.get(key, 0) + number
        limit = len(sample) * COMMON_SHARE
        self.common = np.array(sorted(key for key, number in counts.items() if number > limit), dtype=np.uint64)
