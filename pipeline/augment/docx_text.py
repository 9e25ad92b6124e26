"""The text of a Word document, with python-docx: paragraphs and tables in their order."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DataProblem

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table

# The whole package is unpacked into memory. Text of that size is a library; pictures count as well.
_MOST_UNPACKED_BYTES = 400 << 20
_MOST_PART_BYTES = 100 << 20
_MOST_PARTS = 10_000
# The beginning of the older binary format, and of a document locked with a password.
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"

# What comes out of the libraries when a file is broken; lxml's errors of syntax are Python's.
_BROKEN = (AttributeError, LookupError, NotImplementedError, RecursionError, SyntaxError, ValueError, zlib.error)


def read_docx(path: Path) -> str:
    """Paragraphs with an empty line between them; the rows of tables as lines with | between the cells.

    Headers, footers, footnotes, comments and text boxes are not part of it.

    Raises:
        DataProblem: the file is no Word document, is locked, broken, or unpacks to an unreasonable size.
    """
    import docx
    from docx.opc.exceptions import OpcError

    with path.open("rb") as file:
        if file.read(len(_COMPOUND_FILE)) == _COMPOUND_FILE:
            raise DataProblem(
                f"{path.name} is locked with a password, or an old .doc file. Save it as .docx without a password."
            )
    try:
        _refuse_bombs(path)
        return "\n\n".join(text for text in _blocks(docx.Document(str(path))) if text.strip())
    # lxml's errors of syntax are Python's.
    except (
        OpcError,
        SyntaxError,
        zipfile.BadZipFile,
        LookupError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DataProblem(
            f"{path.name} is no Word document or a broken one ({error}). Save it as .docx again."
        ) from error


def _refuse_bombs(path: Path) -> None:
    # Reading stops at the size that the directory states, so a false statement gains nothing.
    with zipfile.ZipFile(path) as package:
        parts = package.infolist()
    if (
        len(parts) > _MOST_PARTS
        or sum(part.file_size for part in parts) > _MOST_UNPACKED_BYTES
        or any(part.file_size > _MOST_PART_BYTES for part in parts)
    ):
        raise DataProblem(f"{path.name} unpacks to more than a document should. Save the text alone, without pictures.")


def _blocks(document: "Document") -> Iterator[str]:
    from docx.table import Table

    for block in document.iter_inner_content():
        yield _table_text(block) if isinstance(block, Table) else block.text


def _table_text(table: "Table") -> str:
    lines = []
    for row in table.rows:
        # A merged cell is given once for each column that it spans.
        cells = {id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}
        lines.append(" | ".join(cells.values()))
    return "\n".join(lines)
