import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from pipeline.augment.documents import read_document
from pipeline.augment.pdf_text import read_pdf
from pipeline.errors import DataProblem
from tests.pipeline.augment.material import write_pdf


def test_pages_are_read_with_their_numbers(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["Quartz (hard).", "", "Talc is soft."])
    pages, left_out = read_pdf(path)
    assert pages == [(1, "Quartz (hard)."), (3, "Talc is soft.")]
    assert left_out == ["page 2 has no text; it is empty or a picture"]
    assert read_document(path).text == "Quartz (hard).\n\nTalc is soft."


def encrypted(path: Path, *, user: str, owner: str) -> Path:
    writer = PdfWriter(clone_from=PdfReader(write_pdf(path, ["Quartz is hard."])))
    writer.encrypt(user, owner, algorithm="AES-256")
    writer.write(path)
    return path


def test_document_locked_with_a_password_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="a.pdf is locked with a password"):
        read_pdf(encrypted(tmp_path / "a.pdf", user="secret", owner="owner"))


def test_document_locked_against_changes_only_is_read(tmp_path: Path) -> None:
    pages, _ = read_pdf(encrypted(tmp_path / "a.pdf", user="", owner="owner"))
    assert pages == [(1, "Quartz is hard.")]


def test_scanned_document_says_that_it_has_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="no text on its 2 pages.*OCR"):
        read_pdf(write_pdf(tmp_path / "scan.pdf", ["", ""]))


def test_document_of_another_kind_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_text("<html>Not found</html>")
    with pytest.raises(DataProblem, match="is no PDF, whatever its ending says"):
        read_pdf(path)


def test_bomb_does_not_unpack(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "bomb.pdf", ["x"])
    bomb = zlib.compress(zlib.compress(b" " * (300 << 20), 9), 9)
    stream = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(bomb), bomb)
    data = path.read_bytes()
    start, end = data.index(b"4 0 obj\n") + 8, data.index(b"\nendobj\n5 0 obj")
    path.write_bytes(data[:start] + stream + data[end:])
    with pytest.raises(DataProblem, match="no text on its 1 page:"):
        read_pdf(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_document_is_read_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write_pdf(tmp_path_factory.mktemp("pdf") / "a.pdf", ["Quartz is hard.", "Talc is soft."])
    original = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(original) - 1))
        original[position] = data.draw(st.integers(0, 255))
    path.write_bytes(original[: data.draw(st.integers(20, len(original)))])
    try:
        pages, _ = read_pdf(path)
    except DataProblem as problem:
        assert "a.pdf" in str(problem)
    else:
        assert pages
