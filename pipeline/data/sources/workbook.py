"""Opens an .xlsx workbook: its sheets by name, its shared texts, and which styles show numbers as dates."""

import posixpath
import xml.parsers.expat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.data.sources.archive import DAMAGED_ZIP
from pipeline.data.sources.limits import ROW_LIMIT_BYTES, Expansion
from pipeline.data.sources.sheet_values import NumberKind, number_kind, unescape
from pipeline.errors import DataProblem

_CHUNK_BYTES = 1 << 20
# The shared texts are kept in memory, as any cell may use any of them.
_MOST_SHARED_CHARACTERS = 256 << 20
# One text may stand in every row.
_MOST_REPETITION = 1000
_REPETITION_ALLOWED_BYTES = 1 << 30

Attributes = dict[str, str]


class Damaged(Exception):
    """The workbook breaks its own format; the text says where."""


@dataclass
class Workbook:
    """An open workbook. `sheets` are the paths of its sheets by their names, in order."""

    name: str
    archive: zipfile.ZipFile
    unpacking: Expansion
    cells: Expansion
    sheets: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    number_kinds: list[NumberKind | None] = field(default_factory=list)
    counts_from_1904: bool = False

    def parse(
        self,
        member: str,
        *,
        start: Callable[[str, Attributes], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> Iterator[None]:
        """Parse a part with these handlers, which get names without their namespaces; yields after each chunk."""
        parser = xml.parsers.expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition("}")[2], attributes)
        parser.StartDoctypeDeclHandler = _refuse_document_type
        if end is not None:
            parser.EndElementHandler = lambda tag: end(tag.rpartition("}")[2])
        if text is not None:
            parser.CharacterDataHandler = text
        with self.archive.open(member) as part:
            while chunk := part.read(_CHUNK_BYTES):
                self.unpacking.add(len(chunk))
                parser.Parse(chunk, False)
                yield
            parser.Parse(b"", True)
        yield


@contextmanager
def open_workbook(path: Path, name: str) -> Iterator[Workbook]:
    """The workbook, as long as the context lasts.

    Raises:
        DataProblem: it is damaged, or unpacks to too much; also while the context lasts.
    """
    size = path.stat().st_size
    unpacking = Expansion(name, size)
    cells = Expansion(name, size, most=_MOST_REPETITION, always_allowed=_REPETITION_ALLOWED_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                    raise Damaged("a part of it is compressed in an unusual way")
            workbook = Workbook(name, archive, unpacking, cells)
            _read_sheet_names(workbook)
            _read_texts(workbook)
            _read_styles(workbook)
            yield workbook
    except (*DAMAGED_ZIP, xml.parsers.expat.ExpatError, Damaged) as error:
        raise DataProblem(f"{name} is a damaged workbook: {error}. Open it in Excel, and save it again.") from error


def _read_sheet_names(workbook: Workbook) -> None:
    relations: dict[str, str] = {}
    ids: dict[str, str] = {}

    def relation(tag: str, attributes: Attributes) -> None:
        if tag == "Relationship" and attributes.get("Type", "").endswith("/worksheet"):
            target = posixpath.normpath(posixpath.join("/xl", attributes.get("Target", "")))
            relations[attributes.get("Id", "")] = target.lstrip("/")

    def sheet(tag: str, attributes: Attributes) -> None:
        if tag == "sheet":
            identity = next((value for key, value in attributes.items() if key.endswith("}id")), "")
            ids[attributes.get("name", "")] = identity
        elif tag == "workbookPr":
            workbook.counts_from_1904 = attributes.get("date1904") in ("1", "true")

    _parse_whole(workbook, "xl/_rels/workbook.xml.rels", start=relation)
    _parse_whole(workbook, "xl/workbook.xml", start=sheet)
    members = set(workbook.archive.namelist())
    workbook.sheets = {name: relations[identity] for name, identity in ids.items() if identity in relations}
    missing = [name for name, member in workbook.sheets.items() if member not in members]
    if missing or not workbook.sheets:
        raise Damaged(f"the sheet {missing[0]!r} is missing" if missing else "it has no sheets")


def _read_texts(workbook: Workbook) -> None:
    if "xl/sharedStrings.xml" not in workbook.archive.namelist():
        return
    texts = TextCollector("si")
    total = 0
    for _ in workbook.parse("xl/sharedStrings.xml", start=texts.start, end=texts.end, text=texts.add):
        total += sum(map(len, texts.whole))
        if total > _MOST_SHARED_CHARACTERS or texts.is_too_long:
            raise DataProblem(f"{workbook.name} holds too much text for a workbook. Save the sheet as CSV UTF-8.")
        workbook.texts.extend(map(unescape, texts.whole))
        texts.whole.clear()


def _read_styles(workbook: Workbook) -> None:
    if "xl/styles.xml" not in workbook.archive.namelist():
        return
    codes: dict[str, str] = {}
    in_cell_formats = False

    def style(tag: str, attributes: Attributes) -> None:
        nonlocal in_cell_formats
        match tag:
            case "numFmt":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            case "cellXfs" | "cellStyleXfs" | "dxfs":
                in_cell_formats = tag == "cellXfs"
            case "xf" if in_cell_formats:
                identity = attributes.get("numFmtId", "0")
                workbook.number_kinds.append(number_kind(identity, codes.get(identity)))

    _parse_whole(workbook, "xl/styles.xml", start=style)


def _parse_whole(workbook: Workbook, member: str, *, start: Callable[[str, Attributes], None]) -> None:
    if member not in workbook.archive.namelist():
        raise Damaged(f"{member} is missing")
    for _ in workbook.parse(member, start=start):
        pass


def _refuse_document_type(*_: object) -> None:
    raise Damaged("it defines entities, which no workbook needs")


class TextCollector:
    """Puts the runs of each `element` together to its text; what tells the pronunciation is not part of it."""

    def __init__(self, element: str) -> None:
        self._element = element
        self._runs: list[str] = []
        self._size = 0
        self._is_open = self._is_phonetic = False
        self.is_too_long = False
        self.whole: list[str] = []

    def start(self, tag: str, _: Attributes) -> None:
        """Handle the start of an element."""
        if tag == "rPh":
            self._is_phonetic = True
        elif tag == "t":
            self._is_open = not self._is_phonetic

    def add(self, text: str) -> None:
        """Handle text. Beyond the limit of a row, only that it is too long is kept."""
        if self._is_open:
            self._size += len(text)
            if self._size > ROW_LIMIT_BYTES:
                self.is_too_long = True
            else:
                self._runs.append(text)

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        match tag:
            case "t":
                self._is_open = False
            case "rPh":
                self._is_phonetic = False
            case self._element:
                self.whole.append("".join(self._runs))
                self._runs.clear()
                self._size = 0
