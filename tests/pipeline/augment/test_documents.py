import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.documents import Document, Page, read_document
from pipeline.errors import DataProblem

TEXT = "Quartz is hard.\n\nTalc is soft. Größe: 3 mm – fine.\n"


@pytest.mark.parametrize("ending", [".txt", ".md", ".TXT"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_as_it_stands(tmp_path: Path, ending: str, encoding: str) -> None:
    path = tmp_path / f"stones{ending}"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode(encoding))
    document = read_document(path)
    assert document.text == TEXT
    assert document.name == path.name


def test_nul_and_half_characters_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(codecs.BOM_UTF16_LE + "a\x00b".encode("utf-16-le"))
    assert read_document(path).text == "ab"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"caf\xe9", "not UTF-8 text .byte 0xe9 at 3"),
        ("a.txt", b" \n ", "has no text"),
        ("a.txt", b"", "has no text"),
        ("a.odt", b"text", "no document that can be read.*txt, md, pdf or docx"),
        ("plain", b"text", "no document that can be read"),
    ],
)
def test_document_that_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataProblem, match=sentence):
        read_document(tmp_path / name)


def test_missing_document_and_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    for name in ("none.pdf", "folder.txt"):
        with pytest.raises(DataProblem, match=f"no document at .*{name}"):
            read_document(tmp_path / name)


def test_oversized_document_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(201 << 20)
    with pytest.raises(DataProblem, match="has 201 MB"):
        read_document(path)


def test_passages_know_their_pages() -> None:
    document = Document("a.pdf", (Page(1, "One one one."), Page(3, "Three three."), Page(4, "Four four four four.")))
    passages = list(document.passages(size=30, overlap=0))
    assert [(passage.text, passage.pages) for passage in passages] == [
        ("One one one.\n\nThree three.", (1, 3)),
        ("Four four four four.", (4,)),
    ]


@given(st.lists(st.text(alphabet=st.sampled_from("ab. \n"), max_size=60), min_size=1, max_size=6), st.integers(5, 50))
def test_passage_is_what_stands_at_its_place(texts: list[str], size: int) -> None:
    document = Document("a.pdf", tuple(Page(number, text) for number, text in enumerate(texts, start=1)))
    for passage in document.passages(size=size, overlap=size // 3):
        assert document.text[passage.start : passage.end] == passage.text
        for word in passage.text.split():
            assert any(word in texts[number - 1] for number in passage.pages)
