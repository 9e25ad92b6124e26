"""Any text in a card is shown as text: it makes no markup, no tag, no other cell, and ends no block of code."""

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.exporters.markdown_text import Markdown, escaped, fenced, table

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("|`*_[]()<>#-~$&!\\\n\t =+.:x1"), st.characters()), max_size=60)


def shown(markdown: str) -> list[str]:
    """The texts of a document that has nothing but plain texts in it."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    found = []
    for token in tokens:
        assert not token.type.startswith("html")
        if token.type == "inline":
            assert {child.type for child in token.children or []} <= {"text", "text_special"}
            found.append("".join(child.content for child in token.children or []))
    return found


@given(TEXTS)
@example("a | b\n---|---\n`<script>`")
@example("**b** _i_ ~~s~~ ![x](y) <https://x.y> &amp; \\| end\\")
def test_text_in_a_sentence_is_shown_as_it_is(text: str) -> None:
    plain = "".join(" ".join(text.split()).split())
    read = "".join(shown(f"Named {escaped(text)}, it is.")[0].split())
    visible = "".join(character for character in plain if character.isprintable())
    assert "".join(character for character in read if character.isprintable()) == f"Named{visible},itis."


@given(TEXTS, TEXTS)
def test_cells_stay_two(left: str, right: str) -> None:
    read = shown(str(table([(left, right), ("last", 1.5)], "What", "Value:")))
    assert len(read) == 6
    assert read[-2:] == ["last", "1.5"]


@given(TEXTS)
def test_code_ends_where_its_text_does(text: str) -> None:
    code = text.replace("\r", "").replace("\0", "")
    tokens = MarkdownIt("commonmark").parse(f"{fenced(code, 'sh')}\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


def test_addresses_do_not_become_links() -> None:
    document = f"See {escaped('https://evil.example and www.evil.example')}"
    assert "<a" not in MarkdownIt("gfm-like", {"linkify": False}).render(document)
    assert "https:" not in escaped("https://evil.example")


def test_markdown_stays_as_it_is() -> None:
    assert escaped(Markdown("**bold**")) == "**bold**"
    assert escaped("gem-clerk_v2.1-q8_0.gguf") == "gem-clerk_v2.1-q8_0.gguf"
