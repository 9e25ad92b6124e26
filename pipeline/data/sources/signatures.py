"""What a file is: by its content where that is plain to see, else by its name."""

import zipfile
from pathlib import Path
from typing import Literal

from pipeline.data.sources.archive import DAMAGED_ZIP
from pipeline.data.sources.images import image_suffix
from pipeline.data.sources.text_encoding import encoding_of
from pipeline.errors import DataProblem

Kind = Literal["csv", "tsv", "json", "json_lines", "parquet", "spreadsheet", "text", "markdown", "zip", "gzip"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".parquet": "parquet",
    ".txt": "text",
    ".md": "markdown",
    ".xlsx": "spreadsheet",
    ".zip": "zip",
    ".gz": "gzip",
}
_BINARY: dict[Kind, str] = {"parquet": "a Parquet file", "spreadsheet": "a workbook", "zip": "a zip", "gzip": "a gzip"}

_HEAD_BYTES = 8192
_UNREADABLE = {
    b"%PDF-": ("a PDF document", "Give its text as a .txt file, or a table of rows."),
    b"\x7fELF": ("a program", "Give the data themselves."),
    b"Rar!\x1a": ("a RAR archive", "Unpack it, or pack the files as .zip."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it, or pack the files as .zip."),
    b"BZh91AY&SY": ("compressed with bzip2", "Unpack it, or compress it as .gz."),
    b"\xfd7zXZ": ("compressed with xz", "Unpack it, or compress it as .gz."),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "Unpack it, or compress it as .gz."),
    b"SQLite format 3\0": ("an SQLite database", "Export the table as .csv."),
    b"ARROW1\0\0": ("an Arrow file", "Save it as .parquet."),
    b"\x89HDF": ("an HDF5 file", "Save the table as .parquet."),
    b"\x93NUMPY": ("a NumPy array", "Save the data as .csv or .jsonl."),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Excel file, or one with a password",
        "Save it as .xlsx without a password.",
    ),
    **{
        bytes([0x80, protocol]): (
            "a Python pickle, which can run code when it is opened",
            "Save the data as .jsonl or .parquet.",
        )
        for protocol in range(2, 6)
    },
}
_WEB_PAGE = ("<!doctype html", "<html", "<head", "<body", "<?xml")
_OFFICE_FOLDERS = {"word": "a Word document", "ppt": "a presentation"}
# UTF-16 has every second byte zero, binary files a good part; the odd one is a fault of one row.
_MOST_NULS = 0.1


def recognise(path: Path, name: str) -> Kind:
    """What the file is. A workbook, Parquet file or archive is read as what it is, whatever it is called.

    Raises:
        DataProblem: the file is empty, of a type that is not read, or not what its name says.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise DataProblem(f"{name} is empty. Give a file with at least one row.")
    if kind := _by_content(head, path, name):
        return kind
    suffix = Path(name).suffix.lower()
    if suffix not in KINDS:
        seen = f"a {suffix} file" if suffix else "a file without an ending"
        raise DataProblem(f"{name} is {seen}, which is not read. Give one of {', '.join(KINDS)}.")
    kind = KINDS[suffix]
    encoding = encoding_of(head)
    _refuse_what_only_looks_like_data(head.decode(encoding, errors="replace"), name, kind)
    if kind in _BINARY:
        raise DataProblem(f"{name} is not {_BINARY[kind]}, or its beginning is damaged. Save or download it again.")
    if encoding == "utf-8" and (nuls := head.count(0)) > _MOST_NULS * len(head):
        raise DataProblem(
            f"{name} is not text: {nuls:,} of its first {len(head):,} bytes are zero. "
            "If it is UTF-16, save it as UTF-8; else export it as .csv or .jsonl."
        )
    return kind


def _by_content(head: bytes, path: Path, name: str) -> Kind | None:
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\b")):
        return _kind_of_zip(path, name)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"MZ") and b"\0" in head[:64]:
        raise DataProblem(f"{name} is a program. Give the data themselves.")
    for signature, (what, cure) in _UNREADABLE.items():
        if head.startswith(signature):
            raise DataProblem(f"{name} is {what}. {cure}")
    if image_suffix(head):
        raise DataProblem(f"{name} is one image. Give a .zip or a folder with the images and a table.")
    return None


def _kind_of_zip(path: Path, name: str) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except DAMAGED_ZIP as error:
        raise DataProblem(
            f"{name} is a damaged zip or workbook: {str(error).lower()}. Save or download it again."
        ) from error
    if "[Content_Types].xml" in members:
        folders = {member.split("/")[0] for member in members}
        if "xl" in folders:
            return "spreadsheet"
        for folder, what in _OFFICE_FOLDERS.items():
            if folder in folders:
                raise DataProblem(f"{name} is {what}. Save its text as .txt, or its tables as .xlsx or .csv.")
    return "zip"


def _refuse_what_only_looks_like_data(beginning: str, name: str, kind: Kind) -> None:
    if beginning.startswith("version https://git-lfs.github.com/"):
        raise DataProblem(f"{name} is a Git LFS pointer, not the file itself. Download the file with git lfs pull.")
    if kind not in ("text", "markdown") and beginning.lstrip("\ufeff \t\r\n").lower().startswith(_WEB_PAGE):
        raise DataProblem(
            f"{name} is a web page, not {Path(name).suffix} data; a link that asks to sign in often gives one. "
            "Open the link in a browser and download the file itself."
        )
