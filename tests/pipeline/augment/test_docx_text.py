import zipfile
from pathlib import Path

import docx
import pytest

from pipeline.augment.docx_text import read_docx
from pipeline.errors import DataProblem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A document with a heading, paragraphs and a table between them."""
    document = docx.Document()
    document.add_heading("Stones")
    document.add_paragraph("Quartz is hard.")
    table = document.add_table(rows=2, cols=3)
    for row, texts in zip(table.rows, [("name", "hardness", "note"), ("talc", "1", "soft")], strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    merged = table.add_row()
    merged.cells[0].merge(merged.cells[1]).text = "both"
    document.add_paragraph("")
    document.add_paragraph("Größe – fine.")
    file = tmp_path / "stones.docx"
    document.save(str(file))
    return file


def rewritten(path: Path, name: str, data: bytes) -> Path:
    """The same package with another content of one part."""
    with zipfile.ZipFile(path) as package:
        parts = {info.filename: package.read(info) for info in package.infolist()}
    parts[name] = data
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for part, content in parts.items():
            package.writestr(part, content)
    return path


def test_paragraphs_and_tables_are_read_in_order(path: Path) -> None:
    table = "name | hardness | note\ntalc | 1 | soft\nboth | "
    assert read_docx(path) == f"Stones\n\nQuartz is hard.\n\n{table}\n\nGröße – fine."


def test_bomb_does_not_unpack(path: Path) -> None:
    rewritten(path, "word/media/bomb.bin", b"\0" * (101 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataProblem, match="unpacks to more than a document should"):
        read_docx(path)


def test_entities_are_not_unfolded(path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom"}">' for n in range(10))
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{namespace}"><w:body><w:p><w:r><w:t>&e9;</w:t></w:r></w:p></w:body></w:document>'
    rewritten(path, "word/document.xml", f"<!DOCTYPE d [{entities}]>{body}".encode())
    try:
        assert "boom" not in read_docx(path)
    except DataProblem as problem:
        assert "broken one" in str(problem)


@pytest.mark.parametrize("data", [b"plain text", b"", b"PK\x03\x04 broken", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_document_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(data)
    with pytest.raises(DataProblem, match="a.docx is no Word document or a broken one"):
        read_docx(path)


@pytest.mark.parametrize("part", ["word/document.xml", "[Content_Types].xml", "_rels/.rels"])
def test_broken_part_says_so(path: Path, part: str) -> None:
    with pytest.raises(DataProblem, match="no Word document or a broken one"):
        read_docx(rewritten(path, part, b"<w:document><open"))


def test_locked_document_and_old_format_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DataProblem, match="locked with a password, or an old .doc file"):
        read_docx(path)
