"""Reads Parquet, a batch of rows at a time, as plain values that JSON can hold."""

import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.data.sources.images import ImageKeeper, NotAnImage, image_suffix
from pipeline.data.sources.limits import Expansion, check_columns
from pipeline.data.sources.records import Found, Record, bad_text
from pipeline.errors import DataProblem

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_BYTES = 16 << 20
_MOST_BATCH_ROWS = 1024
# In the worst case each row of a batch holds the whole text of its column, if that is one text many times.
_WORST_BATCH_BYTES = 4 << 30
_FEWEST_BATCH_ROWS = 16
# A dictionary holds a system prompt once for a million rows, so that much expansion is honest.
_MOST_EXPANSION = 1000
_ALWAYS_ALLOWED_BYTES = 1 << 30


class _Fault(NamedTuple):
    """Stands for a cell that has no value."""

    reason: str


def read_parquet(path: Path, name: str, images: ImageKeeper) -> Iterator[Found]:
    """Rows of a Parquet file.

    Times become ISO 8601 text, decimals and durations text, NaN and the infinities null. Bytes that are an image are
    kept in `images`, alone or as `{"bytes", "path"}`; other bytes become base64.

    Raises:
        DataProblem: the file is damaged, or unpacks to too much.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    expansion = Expansion(name, path.stat().st_size, most=_MOST_EXPANSION, always_allowed=_ALWAYS_ALLOWED_BYTES)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            check_columns(file.schema_arrow.names, name)
            for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                columns = [_spelled_out(column) for column in batch.columns]
                expansion.add(sum(column.nbytes for column in columns))
                yield from _rows(batch.schema.names, columns, images)
    except (pa.ArrowException, OSError) as error:
        what = str(error).splitlines()[0][:200]
        raise DataProblem(
            f"{name} is a damaged Parquet file, or of a kind that cannot be read: {what}. Download or export it again."
        ) from error


def _batch_rows(metadata: Any) -> int:
    """How many rows are decoded together: fewer the larger they are."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size: int = sum(group.total_byte_size for group in groups)
    rows: int = metadata.num_rows
    largest: int = max((group.total_byte_size for group in groups), default=0)
    usual = _BATCH_BYTES * rows // max(1, size)
    safe = max(_FEWEST_BATCH_ROWS, _WORST_BATCH_BYTES // max(1, largest))
    return max(1, min(_MOST_BATCH_ROWS, usual, safe))


def _spelled_out(column: "pa.Array") -> "pa.Array":
    """The column with each value in its place, where a dictionary holds them once."""
    import pyarrow.types as types

    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _rows(names: list[str], columns: list["pa.Array"], images: ImageKeeper) -> Iterator[Found]:
    for cells in zip(*[_values(column, images) for column in columns], strict=True):
        fault = next(((name, cell) for name, cell in zip(names, cells, strict=True) if type(cell) is _Fault), None)
        if fault is None:
            yield Record(dict(zip(names, cells, strict=True)))
        else:
            sound = {name: cell for name, cell in zip(names, cells, strict=True) if type(cell) is not _Fault}
            yield bad_text(f"column {fault[0]!r}: {fault[1].reason}", str(sound))


def _values(column: "pa.Array", images: ImageKeeper) -> list[Any]:
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):
        # One value cannot be told in Python; the others can.
        values = [_value(column, index) for index in range(len(column))]
    return [_plain(value, images) for value in values] if _is_foreign_to_json(column.type) else values


def _value(column: "pa.Array", index: int) -> Any:
    try:
        return column[index].as_py()
    except UnicodeDecodeError as error:
        return _Fault(f"not UTF-8 text (byte {error.object[error.start]:#04x})")
    except (ValueError, OverflowError) as error:
        return _Fault(str(error).splitlines()[0][:200])


def _is_foreign_to_json(kind: "pa.DataType") -> bool:
    """Whether values of the type need a look before JSON can hold them."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _is_foreign_to_json(kind.value_type)
    if types.is_map(kind):
        return True
    if types.is_nested(kind):
        return any(_is_foreign_to_json(kind.field(index).type) for index in range(kind.num_fields))
    plain: tuple[Callable[[Any], bool], ...] = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_integer,
        types.is_boolean,
        types.is_null,
    )
    return not any(is_plain(kind) for is_plain in plain)


def _plain(value: Any, images: ImageKeeper) -> Any:
    match value:
        case None | str() | bool() | int() | _Fault():
            return value
        case float():
            return value if math.isfinite(value) else None
        case {"bytes": bytes(content), "path": _, **rest} if not rest and image_suffix(content):
            return _kept(content, images)
        case bytes():
            return _kept(value, images) if image_suffix(value) else b64encode(value).decode()
        case dict():
            return {str(key): _plain(item, images) for key, item in value.items()}
        case [(str(), _), *_] if all(type(item) is tuple for item in value):
            # A map comes as a list of pairs.
            return {key: _plain(item, images) for key, item in value}
        case list() | tuple():
            return [_plain(item, images) for item in value]
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _kept(content: bytes, images: ImageKeeper) -> Any:
    try:
        return images.keep(content)
    except NotAnImage as error:
        return _Fault(str(error))
