"""The text of a PDF's pages, with pypdf."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

from pipeline.errors import DataProblem

MOST_PAGES = 10_000
# What pypdf lets through when a file is broken, as its documentation warns; its own limits end bombs and loops.
_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_HEADER_WITHIN_BYTES = 1024


def read_pdf(path: Path) -> tuple[list[tuple[int, str]], list[str]]:
    """Numbers from 1 and texts of the pages that have text, and a clause for each page that has none.

    Raises:
        DataProblem: the file is no PDF, is broken, needs a password, has too many pages, or no page has text.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    # From memory: a broken file makes pypdf seek where a file on disk gives an error that looks like the disk's.
    file = BytesIO(path.read_bytes())
    if b"%PDF-" not in file.getvalue()[:_HEADER_WITHIN_BYTES]:
        raise DataProblem(f"{path.name} is no PDF, whatever its ending says. Save it as PDF again.")
    try:
        reader = PdfReader(file)
        # Many documents are locked against changes only, and open with an empty password.
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataProblem(f"{path.name} is locked with a password. Save a copy without one.")
        count = len(reader.pages)
    except DependencyError as error:
        raise DataProblem(
            f"{path.name} is encrypted in a way that cannot be read ({error}). Save a copy without."
        ) from error
    except (PyPdfError, *_BROKEN) as error:
        raise DataProblem(
            f"{path.name} is a broken PDF ({error}). Save it again with the program it is from."
        ) from error
    if count > MOST_PAGES:
        raise DataProblem(f"{path.name} has {count:,} pages; a document may have {MOST_PAGES:,}. Split it.")
    pages: list[tuple[int, str]] = []
    left_out: list[str] = []
    for number in range(1, count + 1):
        try:
            text = reader.pages[number - 1].extract_text()
        except (PyPdfError, *_BROKEN) as error:
            left_out.append(f"page {number} cannot be read: {error}")
            continue
        if text.strip():
            pages.append((number, text))
        else:
            left_out.append(f"page {number} has no text; it is empty or a picture")
    if not pages:
        raise DataProblem(
            f"{path.name} has no text on its {count} page{'s' * (count != 1)}: they are pictures or cannot be read. "
            "Run text recognition (OCR) over it first."
        )
    return pages, left_out
