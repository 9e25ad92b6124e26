"""The text of a document, page by page, cut into passages: txt, md, pdf and docx. Imported by child processes only."""

import codecs
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from pipeline.augment.chunks import chunk_spans
from pipeline.errors import DataProblem

MOST_FILE_BYTES = 200 << 20
# About ten thousand pages; more is a library, and all of it is held in memory.
MOST_CHARACTERS = 20_000_000
_PAGE_BREAK = "\n\n"
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


@dataclass(frozen=True)
class Page:
    """The text of one page; `number` from 1, None where a document has no pages of its own."""

    number: int | None
    text: str


@dataclass(frozen=True)
class Passage:
    """A stretch of a document's text: characters `start` to `end`, and the pages they stand on."""

    text: str
    start: int
    end: int
    pages: tuple[int, ...]


@dataclass(frozen=True)
class Document:
    """What was read, and clauses about what was not (pages without text, unreadable pages)."""

    name: str
    pages: tuple[Page, ...]
    left_out: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The pages with an empty line between them."""
        return _PAGE_BREAK.join(page.text for page in self.pages)

    def passages(self, *, size: int, overlap: int) -> Iterator[Passage]:
        """Passages of at most `size` characters that overlap by at most `overlap`."""
        lengths = (len(page.text) + len(_PAGE_BREAK) for page in self.pages)
        starts = list(accumulate(lengths, initial=0))
        for start, end in chunk_spans(self.text, size=size, overlap=overlap):
            first, last = bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1
            numbers = (page.number for page in self.pages[first : last + 1])
            pages = tuple(number for number in numbers if number is not None)
            yield Passage(self.text[start:end], start, end, pages)


def read_document(path: Path) -> Document:
    """The text of a document.

    Raises:
        DataProblem: the file is missing, too large, locked, broken, of another type, or has no text.
    """
    if not path.is_file():
        raise DataProblem(f"There is no document at {path}. Check the path, or upload it again.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataProblem(f"{path.name} is no document that can be read. Give a file that ends in {_ENDINGS}.")
    if (size := path.stat().st_size) > MOST_FILE_BYTES:
        raise DataProblem(
            f"{path.name} has {size >> 20:,} MB; a document may have {MOST_FILE_BYTES >> 20} MB. Split it."
        )
    document = reader(path)
    if not document.text.strip():
        raise DataProblem(f"{path.name} has no text. Give a document with text in it.")
    if len(document.text) > MOST_CHARACTERS:
        raise DataProblem(f"{path.name} has more than {MOST_CHARACTERS:,} characters. Split it.")
    return document


def tidy(text: str) -> str:
    """The text with line feeds only, without NUL and half characters, which broken documents hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return text.encode("utf-8", "ignore").decode()


def _read_text(path: Path) -> Document:
    data = path.read_bytes()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataProblem(
            f"{path.name} is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start:,}). "
            "Save it again as UTF-8."
        ) from error
    return Document(path.name, (Page(None, tidy(text)),))


def _read_pdf(path: Path) -> Document:
    from pipeline.augment.pdf_text import read_pdf

    pages, left_out = read_pdf(path)
    return Document(path.name, tuple(Page(number, tidy(text)) for number, text in pages), tuple(left_out))


def _read_docx(path: Path) -> Document:
    from pipeline.augment.docx_text import read_docx

    return Document(path.name, (Page(None, tidy(read_docx(path))),))


_READERS: dict[str, Callable[[Path], Document]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".pdf": _read_pdf,
    ".docx": _read_docx,
}
_ENDINGS = "txt, md, pdf or docx"
