"""Archives are unpacked within bounds, or refused; a bomb fills neither the disk nor the memory."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import read, read_bytes

CSV = b"a,b\n1,2\n"


def zip_of(files: dict[str | zipfile.ZipInfo, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content, method)
    return file.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zip_of({"../rows.csv": CSV}), "x.zip holds '../rows.csv', a place outside of the zip;"),
        (zip_of({"a/../../rows.csv": CSV}), "x.zip holds 'a/../../rows.csv', a place outside of the zip;"),
        (zip_of({"/etc/rows.csv": CSV}), "x.zip holds '/etc/rows.csv', a place outside of the zip;"),
        (zip_of({"..\\rows.csv": CSV}), "x.zip holds '..\\\\rows.csv', a place outside of the zip;"),
        (zip_of({"C:\\rows.csv": CSV}), "x.zip holds 'C:\\\\rows.csv', a place outside of the zip;"),
        (zip_of({link("rows.csv"): b"/etc/passwd"}), "x.zip holds 'rows.csv', which is a link."),
        (zip_of({"rows.csv": CSV, "more.zip": b""}), "x.zip holds another archive, 'more.zip'."),
        (zip_of({"rows.csv.gz": gzip.compress(CSV)}), "x.zip holds another archive, 'rows.csv.gz'."),
        (zip_of({"rows.csv": zip_of({"rows.csv": CSV})}), "x.zip/rows.csv is an archive within another."),
        (zip_of({"rows.csv": gzip.compress(CSV)}), "x.zip/rows.csv is an archive within another."),
        (zip_of({"rows.csv": CSV}, method=zipfile.ZIP_LZMA), "x.zip is compressed in an unusual way."),
        (zip_of({"rows.csv": CSV}, method=zipfile.ZIP_BZIP2), "x.zip is compressed in an unusual way."),
        (zip_of({"data.pkl": b"\x80\x02", "notes.doc": b""}), "x.zip holds no table and no images."),
        (zip_of({}), "x.zip holds no table and no images."),
        (zip_of({f"{'n' * 300}.csv": CSV}), "x.zip could not be unpacked: File name too long"),
        (zip_of({"a.csv": CSV, "a.csv/b.csv": CSV}), "x.zip could not be unpacked: "),
    ],
)
def test_a_zip_that_is_not_to_be_trusted_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        read_bytes(tmp_path, "x.zip", content)
    assert str(caught.value).startswith(sentence)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["store", "x.zip"]


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    content = zip_of({"a.csv": CSV, "b.csv": CSV}).replace(b"b.csv", b"a.csv")
    with pytest.raises(DataProblem, match=r"^x\.zip holds 'a\.csv' more than once\."):
        read_bytes(tmp_path, "x.zip", content)


def test_a_password_is_told(tmp_path: Path) -> None:
    content = bytearray(zip_of({"rows.csv": CSV}))
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(DataProblem, match=r"^x\.zip is protected by a password\."):
        read_bytes(tmp_path, "x.zip", bytes(content))


def test_a_zip_bomb_is_stopped_while_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(
        DataProblem, match=r"^x\.zip unpacks to more than 200 times its size, as files do that are made"
    ):
        read_bytes(tmp_path, "x.zip", zip_of({"rows.csv": b"a,b\n" + b"0,0\n" * (20 << 20)}))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["store", "x.zip"]


def test_a_zip_that_lies_about_its_sizes_is_stopped(tmp_path: Path) -> None:
    content = bytearray(zip_of({"rows.csv": b"a,b\n" + b"0,0\n" * 100_000}))
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        start = content.index(signature) + offset
        content[start : start + 4] = struct.pack("<I", 8)
    with pytest.raises(DataProblem, match=r"^x\.zip is a damaged zip: bad crc-32"):
        read_bytes(tmp_path, "x.zip", bytes(content))


def test_a_zip_of_a_kind_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of({"rows.csv": CSV}))
    content[content.index(b"PK\1\2") + 6] = 178
    with pytest.raises(DataProblem, match=r"^x\.zip is a damaged zip or workbook: zip file version 17\.8\."):
        read_bytes(tmp_path, "x.zip", bytes(content))


def test_a_gzip_bomb_is_stopped_while_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"^rows\.csv\.gz unpacks to more than 200 times its size"):
        read_bytes(tmp_path, "rows.csv.gz", gzip.compress(b"\0" * (80 << 20), 9))


@pytest.mark.parametrize("cut", [0.5, 0.99])
def test_archives_that_are_cut_off_are_refused(cut: float, tmp_path: Path) -> None:
    rows = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(5000))
    for name, content in (("rows.csv.gz", gzip.compress(rows)), ("x.zip", zip_of({"rows.csv": rows}))):
        with pytest.raises(DataProblem, match=r"is a damaged (\.gz|zip)"):
            read_bytes(tmp_path, name, content[: int(len(content) * cut)])


def test_a_zip_with_damaged_content_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of({"rows.csv": CSV * 1000}, method=zipfile.ZIP_STORED))
    content[500] ^= 0xFF
    with pytest.raises(DataProblem, match=r"^x\.zip is a damaged zip: bad crc-32"):
        read_bytes(tmp_path, "x.zip", bytes(content))


def test_an_archive_within_a_gzip_is_refused(tmp_path: Path) -> None:
    for inner in (gzip.compress(CSV), zip_of({"rows.csv": CSV})):
        with pytest.raises(DataProblem, match=r"is an archive within another\. Unpack it, and give its files\."):
            read_bytes(tmp_path, "rows.csv.gz", gzip.compress(inner))


def test_a_tar_in_a_gzip_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"^rows\.tar is a \.tar file, which is not read\."):
        read_bytes(tmp_path, "rows.tar.gz", gzip.compress(b"rows.csv" + bytes(504)))


def test_what_systems_add_to_a_zip_is_left_out(tmp_path: Path) -> None:
    files = {"__MACOSX/._rows.csv": b"\0\5", ".DS_Store": b"\0", "data/.hidden.csv": b"x", "README.md": b"# About"}
    source = read_bytes(tmp_path, "x.zip", zip_of({**files, "data/rows.csv": CSV}))
    assert source.rows == [{"a": "1", "b": "2"}]


def test_no_more_is_unpacked_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 9 << 30, (1 << 30) + 100))
    (tmp_path / "x.zip").write_bytes(zip_of({"rows.csv": CSV * 100}))
    with pytest.raises(DataProblem, match=r"^x\.zip unpacks to more than 0\.0 GB, and there is no more room for it\."):
        read(tmp_path / "x.zip")
