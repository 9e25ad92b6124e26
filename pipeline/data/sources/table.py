"""Reads one file, in the way that its content asks for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pipeline.data.sources.archive import unpack_gzip
from pipeline.data.sources.columnar import read_parquet
from pipeline.data.sources.delimited import read_delimited
from pipeline.data.sources.documents import read_markdown, read_text
from pipeline.data.sources.images import ImageKeeper
from pipeline.data.sources.json_document import read_json_document
from pipeline.data.sources.json_rows import holds_lines, read_json_lines
from pipeline.data.sources.records import Found
from pipeline.data.sources.signatures import Kind, recognise
from pipeline.data.sources.spreadsheet import read_spreadsheet
from pipeline.errors import DataProblem

_COMPRESSED = (".csv.gz", ".tsv.gz", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".txt.gz")
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", *_COMPRESSED[:-1])
DOCUMENT_SUFFIXES = (".txt", ".md", _COMPRESSED[-1])


def read_table(path: Path, name: str, images: ImageKeeper, workspace: Path | None) -> Iterator[Found]:
    """Rows of a file of any kind but a zip. A .gz is unpacked into `workspace` first, if there is one.

    Raises:
        DataProblem: the file is not what its name says, or is unusable as a whole.
    """
    kind = recognise(path, name)
    if kind != "gzip":
        yield from _read(kind, path, name, images)
        return
    if workspace is None:
        _refuse_archive(name)
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        unpacked = Path(folder) / "unpacked"
        unpack_gzip(path, name, unpacked)
        inner_name = name[: -len(".gz")] if name.lower().endswith(".gz") else name
        kind = recognise(unpacked, inner_name)
        if kind == "gzip":
            _refuse_archive(name)
        yield from _read(kind, unpacked, inner_name, images)


def _read(kind: Kind, path: Path, name: str, images: ImageKeeper) -> Iterator[Found]:
    match kind:
        case "csv" | "tsv":
            return read_delimited(path, name, kind=kind)
        case "json" | "json_lines":
            is_lines = holds_lines(path, name, named_lines=kind == "json_lines")
            return read_json_lines(path, name) if is_lines else read_json_document(path, name)
        case "parquet":
            return read_parquet(path, name, images)
        case "spreadsheet":
            return read_spreadsheet(path, name)
        case "text":
            return read_text(path, name)
        case "markdown":
            return read_markdown(path, name)
        case "zip" | "gzip":
            _refuse_archive(name)


def _refuse_archive(name: str) -> NoReturn:
    raise DataProblem(f"{name} is an archive within another. Unpack it, and give its files.")
