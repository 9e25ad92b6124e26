"""Writes a safetensors file piece by piece, so that no more than two pieces are in memory."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import torch

# Names of the format (safetensors' README, "Format").
DTYPE_NAMES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}
_LENGTH_BYTES, _ALIGNMENT = 8, 8


class TensorLayout(NamedTuple):
    """What a file says of a tensor before its values."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all values."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class TensorFile:
    """A safetensors file that is being written. Its tensors are written in the order of `layouts`, each whole.

    Raises:
        ValueError: on leaving, where the pieces are not all that was announced.
    """

    def __init__(self, path: Path, layouts: Mapping[str, TensorLayout]) -> None:
        self._file = path.open("wb")
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for name, layout in layouts.items():
            end = offset + layout.size_bytes
            header[name] = {
                "dtype": DTYPE_NAMES[layout.dtype],
                "shape": list(layout.shape),
                "data_offsets": [offset, end],
            }
            offset = end
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % _ALIGNMENT)
        self._file.write(len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded)
        self._end = self._file.tell() + offset
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[int] | None = None

    def write(self, piece: torch.Tensor) -> None:
        """Append the values of the next piece, in the format that was announced, while the one after it is computed.

        `piece` may not be changed afterwards.
        """
        values = memoryview(piece.detach().contiguous().flatten().view(torch.uint8).numpy())
        self._wait()
        self._pending = self._writer.submit(self._file.write, values)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file, self._writer:
            if error is not None:
                return
            self._wait()
            if self._file.tell() != self._end:
                raise ValueError(f"{self._file.name} has {self._file.tell()} bytes instead of {self._end}")
            self._file.flush()
            os.fsync(self._file.fileno())
