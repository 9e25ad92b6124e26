"""Workbooks give their rows as they are shown; a sheet of any extent is read in little memory."""

import datetime
import io
import tracemalloc
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from pipeline.data.sources import read_source
from pipeline.data.sources.sheet_values import date_text, number_kind, unescape
from pipeline.data.sources.spreadsheet import column_letters
from pipeline.errors import DataProblem
from tests.pipeline.data.sources.reading import Source, read, read_bytes

# What XML, and so a workbook, can hold; a cell that begins with = is a formula.
text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\r", exclude_characters="\ufffe\uffff"),
    max_size=20,
).filter(lambda value: "_x" not in value and not value.startswith(("=", "#")))


def book_of(rows: list[tuple[Any, ...]], *, sheet: str = "Sheet") -> Workbook:
    book = Workbook()
    assert book.active is not None
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    return book


def saved(book: Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def read_book(folder: Path, book: Workbook) -> Source:
    return read_bytes(folder, "rows.xlsx", saved(book))


def rewritten(content: bytes, changes: dict[str, bytes]) -> bytes:
    """The workbook with other content in some of its parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name, old.read(name)))
        for name in changes.keys() - set(old.namelist()):
            new.writestr(name, changes[name])
    return file.getvalue()


def sheet_xml(rows: str) -> bytes:
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def read_sheet_xml(folder: Path, rows: str, **parts: bytes) -> Source:
    content = rewritten(saved(book_of([("a",)])), {"xl/worksheets/sheet1.xml": sheet_xml(rows), **parts})
    return read_bytes(folder, "rows.xlsx", content)


@given(st.lists(st.tuples(text, text), min_size=1, max_size=6))
def test_every_text_survives(rows: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        source = read_book(Path(folder), book_of([("n", "prompt", "completion"), *((1, *row) for row in rows)]))
        assert [(row["prompt"], row["completion"]) for row in source.rows] == rows


def test_values_are_what_the_sheet_shows(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 13, 5, 6)
    shown = {
        "whole": 12345,
        "negative": -7,
        "real": 0.1,
        "large": 1e20,
        "yes": True,
        "no": False,
        "text": "007",
        "date": "2024-02-29",
        "moment": "2024-02-29T13:05:06",
        "time": "13:05:06",
        "length": "50:00:01",
        "empty": "",
        "error": "#N/A",
    }
    values = {
        **shown,
        "date": moment.date(),
        "moment": moment,
        "time": moment.time(),
        "length": datetime.timedelta(days=2, hours=2, seconds=1),
        "empty": None,
    }
    [row] = read_book(tmp_path, book_of([tuple(values), tuple(values.values())])).rows
    assert row == shown
    assert {name: type(value) for name, value in row.items()} == {name: type(value) for name, value in shown.items()}


@pytest.mark.parametrize(
    ("number", "kind", "shown"),
    [
        (0, "date", "1899-12-31"),
        (59, "date", "1900-02-28"),
        (61, "date", "1900-03-01"),
        (45351.5, "date", "2024-02-29T12:00:00"),
        (45351.1234567, "date", "2024-02-29T02:57:46.659000"),
        (0.999999999999, "time", "00:00:00"),
        (1.5, "time", "1900-01-01T12:00:00"),
        (-0.5, "duration", "-12:00:00"),
        (-1, "date", None),
        (1e9, "date", None),
    ],
)
def test_days_become_dates(number: float, kind: Any, shown: str | None) -> None:
    assert date_text(number, kind, counts_from_1904=False) == shown


def test_days_may_be_counted_from_1904() -> None:
    assert date_text(0, "date", counts_from_1904=True) == "1904-01-01"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", None),
        ("0.00", None),
        ("#,##0 [$€-407]", None),
        ('0 "days"', None),
        ("[Red]0", None),
        ("0\\d", None),
        ("yyyy-mm-dd", "date"),
        ("[$-409]d-mmm-yy;@", "date"),
        ("mmmm", "date"),
        ("dd/mm/yyyy hh:mm", "date"),
        ("h:mm AM/PM", "time"),
        ("mm:ss", "time"),
        ("[h]:mm:ss", "duration"),
    ],
)
def test_formats_tell_dates_from_numbers(code: str, kind: str | None) -> None:
    assert number_kind("164", code) == kind


def test_escapes_are_characters() -> None:
    assert unescape("a_x000D__x000A_b") == "a\r\nb"
    assert unescape("_x005F_x000D_") == "_x000D_"
    assert unescape("_xD83D__xDE00_ snake_xylo") == "😀 snake_xylo"


def test_runs_of_a_text_are_one_text(tmp_path: Path) -> None:
    rich = CellRichText("plain ", TextBlock(InlineFont(b=True), "bold"), " plain")
    assert read_book(tmp_path, book_of([("a",), (rich,)])).rows == [{"a": "plain bold plain"}]


def test_pronunciation_is_no_text(tmp_path: Path) -> None:
    cell = '<c r="A2" t="inlineStr"><is><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></is></c>'
    rows = f'<row r="1"><c r="A1" t="str"><v>a</v></c></row><row r="2">{cell}</row>'
    assert read_sheet_xml(tmp_path, rows).rows == [{"a": "東京"}]


def test_cells_without_a_reference_follow_each_other(tmp_path: Path) -> None:
    rows = "<row><c t='str'><v>a</v></c><c t='str'><v>b</v></c></row><row><c><v>1</v></c><c><v>2</v></c></row>"
    assert read_sheet_xml(tmp_path, rows).rows == [{"a": 1, "b": 2}]


def test_the_first_sheet_with_rows_is_read(tmp_path: Path) -> None:
    book = book_of([("Only a title",)], sheet="About")
    for name, value in (("Data", 1), ("More", 2)):
        sheet = book.create_sheet(name)
        sheet.append(("a",))
        sheet.append((value,))
    assert read_book(tmp_path, book).rows == [{"a": 1}]


def test_sheets_named_after_splits_are_all_read(tmp_path: Path) -> None:
    book = book_of([("a",), (1,)], sheet="Train")
    for name, value in (("Notes", 0), ("Test", 2)):
        sheet = book.create_sheet(name)
        sheet.append(("a",))
        sheet.append((value,))
    source = read_book(tmp_path, book)
    assert [(item.number, item.split, item.row) for item in source.numbered] == [
        (1, "train", {"a": 1}),
        (2, "test", {"a": 2}),
    ]


def test_empty_rows_and_columns_are_none(tmp_path: Path) -> None:
    rows = [(None, None), (None, "a", None, "b"), (None, 1), (None, None), (None, None, None, 2)]
    assert read_book(tmp_path, book_of(rows)).rows == [{"a": 1, "b": ""}, {"a": "", "b": 2}]


def test_an_index_without_a_name_is_a_column(tmp_path: Path) -> None:
    assert read_book(tmp_path, book_of([(None, "a"), (0, "x")])).rows == [{"column_1": 0, "a": "x"}]


def test_a_value_outside_of_the_columns_costs_its_row(tmp_path: Path) -> None:
    source = read_book(tmp_path, book_of([("a", "b"), (1, 2), (3, 4, None, "stray"), (5, 6)]))
    assert source.reasons == {2: "a value in column D, which has no name"}
    assert source.rows == [{"a": 1, "b": 2}, {"a": 5, "b": 6}]


def test_columns_are_called_by_letters() -> None:
    assert [column_letters(place) for place in (0, 25, 26, 701, 702, 16_383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]


def test_cells_far_apart_take_no_memory(tmp_path: Path) -> None:
    book = book_of([("a",), (1,)])
    assert book.active is not None
    book.active.cell(1_048_576, 1, "end")
    (tmp_path / "rows.xlsx").write_bytes(saved(book))
    tracemalloc.start()
    try:
        rows = read(tmp_path / "rows.xlsx").rows
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()
    assert rows == [{"a": 1}, {"a": "end"}]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ('<row><c r="XFE1"><v>1</v></c></row>', "a cell stands behind the last column"),
        ('<row><c r="??"><v>1</v></c></row>', "a cell stands at '??'"),
        ('<row><c r="A1"><v>one</v></c></row>', "a cell has the number 'one'"),
        ('<row><c r="A1" t="s"><v>99</v></c></row>', "a cell has the shared text '99', which does not exist"),
        ("<row>", "mismatched tag"),
    ],
)
def test_a_sheet_that_breaks_the_format_is_refused(rows: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as caught:
        read_sheet_xml(tmp_path, rows)
    assert str(caught.value).startswith(f"rows.xlsx is a damaged workbook: {what}")


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><sst><si><t>&y;</t></si></sst>'
    with pytest.raises(DataProblem, match=r"it defines entities, which no workbook needs"):
        read_sheet_xml(tmp_path, "", **{"xl/sharedStrings.xml": bomb})


def test_a_workbook_that_is_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    content = saved(book_of([("a", "b"), *[(str(number), number) for number in range(1000)]]))
    with pytest.raises(DataProblem, match=r"^rows\.xlsx is a damaged zip or workbook: file is not a zip file\."):
        read_bytes(tmp_path, "rows.xlsx", content[:-200])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 200
    with pytest.raises(DataProblem, match=r"^rows\.xlsx is a damaged workbook: "):
        read_bytes(tmp_path, "rows.xlsx", content[:start] + b"\xff" * 50 + content[start + 50 :])


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(DataProblem, match=r"a damaged workbook: xl/_rels/workbook\.xml\.rels is missing\."):
        read_bytes(tmp_path, "rows.xlsx", file.getvalue())


def test_a_workbook_that_unpacks_beyond_measure_is_refused(tmp_path: Path) -> None:
    rows = '<row r="1"><c r="A1" t="str"><v>a</v></c></row>' + " " * (70 << 20)
    with pytest.raises(DataProblem, match=r"^rows\.xlsx unpacks to more than 200 times its size"):
        read_sheet_xml(tmp_path, rows)


def test_one_text_in_a_million_cells_is_refused_beyond_measure(tmp_path: Path) -> None:
    texts = "<sst><si><t>a</t></si><si><t>" + "x" * 1_000_000 + "</t></si></sst>"
    rows = '<row><c t="s"><v>0</v></c></row>' + '<row><c t="s"><v>1</v></c></row>' * 20_000
    parts = {"xl/worksheets/sheet1.xml": sheet_xml(rows), "xl/sharedStrings.xml": texts.encode()}
    (tmp_path / "rows.xlsx").write_bytes(rewritten(saved(book_of([("a",)])), parts))
    with pytest.raises(DataProblem, match=r"^rows\.xlsx unpacks to more than 1000 times its size"):
        for _ in read_source(tmp_path / "rows.xlsx", images=tmp_path / "images"):
            pass


def test_a_cell_over_the_limit_costs_its_row(tmp_path: Path) -> None:
    # Of random letters, so that it does not look like a bomb.
    long = "".join(chr(97 + (number * 7919) % 26) for number in range(1 << 20)) * 40
    cells = f'<row><c t="str"><v>{long}</v></c></row><row><c t="str"><v>short</v></c></row>'
    source_rows = '<row><c t="str"><v>a</v></c></row>' + cells
    content = rewritten(saved(book_of([("a",)])), {"xl/worksheets/sheet1.xml": sheet_xml(source_rows)})
    source = read_bytes(tmp_path, "rows.xlsx", content)
    assert source.reasons == {1: "longer than 32 MiB"}
    assert source.rows == [{"a": "short"}]
