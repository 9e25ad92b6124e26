"""Parquet files give values that JSON can hold, and keep text, numbers and images as they are."""

import datetime
import decimal
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.sources import read_source
from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import Source, png, read

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def read_table(folder: Path, table: pa.Table, **options: Any) -> Source:
    pq.write_table(table, folder / "rows.parquet", **options)
    return read(folder / "rows.parquet")


@given(
    st.lists(st.tuples(text, st.lists(st.tuples(text, text), max_size=3)), min_size=1, max_size=6),
    st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
)
def test_every_text_survives(rows: list[tuple[str, list[tuple[str, str]]]], kind: pa.DataType) -> None:
    turns = pa.list_(pa.struct({"role": pa.string(), "content": pa.large_string()}))
    wanted = [
        {"text": value, "turns": [{"role": role, "content": content} for role, content in pairs]}
        for value, pairs in rows
    ]
    with TemporaryDirectory() as folder:
        table = pa.Table.from_pylist(wanted, schema=pa.schema({"text": pa.string(), "turns": turns}))
        table = table.set_column(0, "text", table["text"].cast(kind))
        assert read_table(Path(folder), table).rows == wanted


def test_every_type_becomes_a_value_of_json(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 13, 5, 6, 789000)
    table = pa.table(
        {
            "bool": pa.array([True, None]),
            "uint64": pa.array([2**64 - 1, 0], pa.uint64()),
            "half": pa.array([0.5, None], pa.float16()),
            "double": pa.array([float("nan"), float("inf")]),
            "decimal": pa.array([decimal.Decimal("1.10"), None]),
            "date": pa.array([moment.date(), None]),
            "time": pa.array([moment.time(), None]),
            "moment": pa.array([moment, None], pa.timestamp("ms")),
            "zoned": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "nanoseconds": pa.array([1, None], pa.timestamp("ns")),
            "length": pa.array([datetime.timedelta(days=1, seconds=1), None]),
            "bytes": pa.array([b"\xff\0", None]),
            "map": pa.array([[("a", 1), ("b", 2)], []], pa.map_(pa.string(), pa.int64())),
            "fixed": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
            "nothing": pa.nulls(2),
            "nested": pa.array([{"when": [moment.date()], "share": float("nan")}, None]),
            "view": pa.array(["é", None], pa.string_view()),
        }
    )
    first, second = read_table(tmp_path, table).rows
    assert first == {
        "bool": True,
        "uint64": 2**64 - 1,
        "half": 0.5,
        "double": None,
        "decimal": "1.10",
        "date": "2024-02-29",
        "time": "13:05:06.789000",
        "moment": "2024-02-29T13:05:06.789000",
        "zoned": "2024-02-29T13:05:06.789000+00:00",
        "nanoseconds": "1970-01-01T00:00:00.000000001",
        "length": "1 day, 0:00:01",
        "bytes": "/wA=",
        "map": {"a": 1, "b": 2},
        "fixed": [1, 2],
        "nothing": None,
        "nested": {"when": ["2024-02-29"], "share": None},
        "view": "é",
    }
    assert type(first["half"]) is float
    assert second == {**dict.fromkeys(first), "uint64": 0, "map": []} | {"map": second["map"]}
    assert second["map"] in ([], {})


def test_images_are_kept_under_their_content(tmp_path: Path) -> None:
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "image": pa.array([{"bytes": png(1), "path": "a.jpg"}, {"bytes": png(1), "path": None}], image),
        "images": pa.array([[{"bytes": png(1), "path": None}, {"bytes": png(2), "path": None}], []], pa.list_(image)),
        "raw": pa.array([png(2), None]),
        "audio": pa.array([{"bytes": b"RIFF0000WAVE", "path": "a.wav"}, None], image),
        "linked": pa.array([{"bytes": None, "path": "far.png"}, None], image),
    }
    source = read_table(tmp_path, pa.table(columns))
    first, second = source.rows
    assert first["image"] == second["image"] == first["images"][0]
    assert first["images"][1] == first["raw"]
    assert first["audio"] == {"bytes": "UklGRjAwMDBXQVZF", "path": "a.wav"}
    assert first["linked"] == {"bytes": None, "path": "far.png"}
    stored = sorted(path.name for path in (tmp_path / "store" / "images").iterdir())
    assert stored == sorted(Path(first[column]["path"]).name for column in ("image", "raw"))
    assert (tmp_path / "store" / first["image"]["path"]).read_bytes() == png(1)


def test_an_image_over_the_limit_costs_its_row(tmp_path: Path) -> None:
    source = read_table(tmp_path, pa.table({"image": [png() + b"\0" * (65 << 20), png()]}))
    assert source.reasons == {1: "column 'image': an image of more than 64 MiB"}
    assert [item.number for item in source.numbered] == [2]


def test_a_value_that_cannot_be_told_costs_its_row(tmp_path: Path) -> None:
    bad_text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xe9c")]
    )
    far = pa.array([0, 0, 2**60], pa.int64()).cast(pa.timestamp("us"))
    source = read_table(tmp_path, pa.table({"text": bad_text, "when": far}))
    assert [item.row["text"] for item in source.numbered] == ["a"]
    assert source.reasons[2] == "column 'text': not UTF-8 text (byte 0xe9)"
    assert source.reasons[3].startswith("column 'when': ")
    assert source.unreadable[0].text == "{'when': '1970-01-01T00:00:00'}"


def test_rows_of_several_row_groups_and_batches_keep_their_order(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(5000)), "text": ["x" * 20_000] * 5000})
    source = read_table(tmp_path, table, row_group_size=700)
    assert [row["n"] for row in source.rows] == list(range(5000))


@pytest.mark.parametrize("cut", ["tail", "middle"])
def test_a_damaged_file_is_refused(cut: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [str(number) for number in range(1000)]}), file)
    content = file.getvalue()
    damaged = content[:-100] if cut == "tail" else content[:50] + b"\xff" * 200 + content[250:]
    (tmp_path / "rows.parquet").write_bytes(damaged)
    with pytest.raises(
        DataProblem, match=r"^rows\.parquet is a damaged Parquet file, or of a kind that cannot be read: "
    ):
        read(tmp_path / "rows.parquet")


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"^rows\.parquet has more than one column called 'a'\."):
        read_table(tmp_path, pa.table([[1], [2]], names=["a", "a"]))


def test_a_file_that_unpacks_beyond_measure_is_refused(tmp_path: Path) -> None:
    """A dictionary holds a long text once, and a run counts how often it comes."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"text": text}), tmp_path / "rows.parquet", compression="zstd")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(DataProblem, match=r"unpacks to more than 1000 times its size"):
        for _ in read_source(tmp_path / "rows.parquet", images=tmp_path / "images"):
            pass
