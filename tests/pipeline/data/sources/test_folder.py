"""Folders and zips give the rows of their tables with the images that they name, or their images alone."""

import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import JPEG, Source, png, read


def fill(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.fixture(params=["folder", "zip"])
def read_files(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Reads the same files as a folder, and as a zip of it."""

    def read_them(files: dict[str, bytes | str]) -> Source:
        folder = fill(tmp_path / "data", files)
        if request.param == "folder":
            return read(folder, store=tmp_path / "store")
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for name in files:
                archive.write(folder / name, name)
        return read(tmp_path / "data.zip", store=tmp_path / "store")

    return read_them


def kept(content: bytes, suffix: str = ".png") -> dict[str, str]:
    return {"path": f"images/{sha256(content).hexdigest()}{suffix}"}


def test_tables_of_several_files_are_numbered_on(read_files: Any) -> None:
    source = read_files({"b.jsonl": '{"a": 3}\nbroken\n', "a.csv": "a\n1\n2\n", "sub/c.json": '[{"a": 4}]'})
    assert [(item.number, item.row) for item in source.numbered] == [
        (1, {"a": "1"}),
        (2, {"a": "2"}),
        (3, {"a": 3}),
        (5, {"a": 4}),
    ]
    assert [(item.row, item.file) for item in source.unreadable] == [(4, "b.jsonl")]
    assert set(source.splits) == {"train"}


def test_splits_come_from_names_and_folders(read_files: Any) -> None:
    source = read_files(
        {
            "data/test-00000-of-00001.jsonl": '{"n": 1}',
            "data/train-00000-of-00002.jsonl": '{"n": 2}',
            "data/train-00001-of-00002.jsonl": '{"n": 3}',
            "dev/rows.jsonl": '{"n": 4}',
            "extra.jsonl": '{"n": 5}',
        }
    )
    assert {item.row["n"]: item.split for item in source.numbered} == {
        1: "test",
        2: "train",
        3: "train",
        4: "validation",
        5: "train",
    }


def test_a_single_split_is_called_train(read_files: Any) -> None:
    assert read_files({"test.jsonl": '{"n": 1}', "test2.jsonl": '{"n": 2}'}).splits == ["train", "train"]


def test_texts_are_rows_only_where_there_is_no_table(read_files: Any, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"one.txt": "first", "two.md": "second", "README.md": "about"}
    assert read_files(files).rows == [{"text": "first"}, {"text": "second"}]
    fill(tmp_path / "data", {"rows.csv": "a\n1\n"})
    assert read(tmp_path / "data", store=tmp_path / "store").rows == [{"a": "1"}]


def test_compressed_tables_of_a_folder_are_read(tmp_path: Path) -> None:
    import gzip

    folder = fill(tmp_path / "data", {"a.jsonl.gz": gzip.compress(b'{"n": 1}'), "b.csv.gz": gzip.compress(b"n\n2\n")})
    assert read(folder).rows == [{"n": 1}, {"n": "2"}]


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_a_table_names_the_images_of_its_folder(table: str, read_files: Any, tmp_path: Path) -> None:
    lines = "file_name,text\ncats/1.png,a cat\n2.jpg,a dog\n"
    if table.endswith("jsonl"):
        cells = [line.split(",") for line in lines.splitlines()[1:]]
        lines = "\n".join(json.dumps({"file_name": file, "text": text}) for file, text in cells)
    source = read_files({f"train/{table}": lines, "train/cats/1.png": png(), "train/2.jpg": JPEG})
    assert source.rows == [{"image": kept(png()), "text": "a cat"}, {"image": kept(JPEG, ".jpg"), "text": "a dog"}]
    assert (tmp_path / "store" / kept(png())["path"]).read_bytes() == png()


def test_images_are_found_wherever_a_row_names_them(read_files: Any) -> None:
    part = {"type": "image", "image": kept(png())}
    rows = [
        {"image": "a.png", "text": "see a.png"},
        {"images": ["images/a.png", "./images/a.png"]},
        {"photo": "images\\a.png"},
        {"image": {"path": "a.png", "bytes": None}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "a.png"}]},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "images/a.png"}}]},
                {"role": "user", "content": [{"type": "image", "path": "a.png"}]},
                {"role": "assistant", "content": "a.png"},
            ]
        },
    ]
    source = read_files({"rows.jsonl": "\n".join(map(json.dumps, rows)), "images/a.png": png()})
    assert source.unreadable == []
    assert source.rows == [
        {"image": kept(png()), "text": "see a.png"},
        {"images": [kept(png()), kept(png())]},
        {"photo": kept(png())},
        {"image": kept(png())},
        {
            "messages": [
                {"role": "user", "content": [part, {"type": "text", "text": "a.png"}]},
                {"role": "user", "content": [part]},
                {"role": "user", "content": [part]},
                {"role": "assistant", "content": "a.png"},
            ]
        },
    ]


def test_what_is_no_path_into_the_folder_stays_as_it_is(read_files: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"image": "https://example.org/a.png"},
        {"image": "data:image/png;base64,AAAA"},
        {"image": "/etc/a.png"},
        {"image": "iVBORw0KGgoAAAANSUhEUg"},
        {"images": []},
        {"image": None},
        {"text": "gone.png"},
        {"text": "one\ntwo.png"},
    ]
    source = read_files({"rows.jsonl": "\n".join(map(json.dumps, rows)), "a.png": png()})
    assert source.rows == rows


@pytest.mark.parametrize("path", ["gone.png", "../secret.png", "../../secret.png", "images/../../secret.png"])
def test_an_image_that_is_not_in_the_folder_costs_its_row(path: str, read_files: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    rows = [{"image": path}, {"messages": [{"content": [{"type": "image", "image": path}]}]}, {"image": "a.png"}]
    source = read_files({"rows.jsonl": "\n".join(map(json.dumps, rows)), "a.png": png()})
    assert source.reasons == dict.fromkeys((1, 2), f"its image {path!r} is not in the folder")
    assert source.rows == [{"image": kept(png())}]


def test_an_image_that_is_none_costs_its_row(read_files: Any) -> None:
    source = read_files({"metadata.csv": "file_name\na.png\nb.png\n", "a.png": b"<html>", "b.png": JPEG})
    assert source.reasons == {1: "its image 'a.png' is not a PNG, JPEG, WebP, GIF or BMP image"}
    assert source.rows == [{"image": kept(JPEG, ".jpg")}]


def test_a_name_that_several_images_have_is_not_guessed(read_files: Any) -> None:
    files = {"rows.jsonl": '{"image": "a.png"}\n{"image": "y/a.png"}', "p/x/a.png": png(1), "p/y/a.png": png(2)}
    source = read_files(files)
    assert source.reasons == {1: "its image 'a.png' is not in the folder"}
    assert source.rows == [{"image": kept(png(2))}]


def test_images_without_a_table_are_labelled_by_their_folders(read_files: Any) -> None:
    source = read_files(
        {"train/cat/1.png": png(1), "train/dog/1.png": png(2), "test/cat/2.png": png(3), "test/cat/bad.png": b"x"}
    )
    assert [(item.split, item.row) for item in source.numbered] == [
        ("test", {"image": kept(png(3)), "label": "cat"}),
        ("train", {"image": kept(png(1)), "label": "cat"}),
        ("train", {"image": kept(png(2)), "label": "dog"}),
    ]
    assert source.unreadable[0].file == "test/cat/bad.png"


def test_images_of_one_folder_have_no_label_and_may_have_captions(read_files: Any) -> None:
    files = {"photos/1.png": png(1), "photos/1.txt": "A caption,\nin two lines\n", "photos/2.jpg": JPEG}
    assert read_files(files).rows == [
        {"image": kept(png(1)), "text": "A caption,\nin two lines"},
        {"image": kept(JPEG, ".jpg")},
    ]


def test_images_within_a_parquet_file_stay_what_they_are(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", {"a.png": png(1)})
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"image": pa.array([{"bytes": png(2), "path": "b.png"}], image)}), folder / "rows.parquet")
    assert read(folder).rows == [{"image": kept(png(2))}]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"secret.csv": "a\n1\n"})
    folder = fill(tmp_path / "data", {"rows.csv": "a\n1\n"})
    (folder / "more.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataProblem, match=r"^data/more\.csv is a link to a place outside of the folder\."):
        read(folder)


def test_an_archive_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", {"rows.csv": "a\n1\n", "images.tar": b"x"})
    with pytest.raises(DataProblem, match=r"^data holds an archive, images\.tar\. Unpack it there"):
        read(folder)


def test_a_folder_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", {"model.bin": b"x", "README.md": b"x"})
    with pytest.raises(
        DataProblem, match=r"^data holds no table and no images\. Put a file into it that is one of \.csv"
    ):
        read(folder)
