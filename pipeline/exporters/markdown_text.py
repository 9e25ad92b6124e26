"""Text of others in Markdown: shown as it is, whatever it holds, in a sentence, a table or a block of code."""

import re
import unicodedata
from collections.abc import Sequence

# Everything that begins a construct of Markdown (CommonMark 0.31, GitHub's tables) or a tag of HTML.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#+!|~$^=-])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST = 300


class Markdown(str):
    """Text that is Markdown already and stays as it is."""

    __slots__ = ()


def escaped(value: object) -> str:
    """`value` as text of one line that means nothing in Markdown or HTML; what cannot be seen is left out.

    Addresses do not become links, and text that is longer than a line of a table bears is cut.
    """
    if isinstance(value, Markdown):
        return value
    line = " ".join(str(value).split())
    line = "".join(character for character in line if unicodedata.category(character)[0] != "C")
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}…"
    # A dot or a colon with something behind it would make a link of an address.
    line = re.sub(r"(?i)\b(https?|www|ftp)(?=[:.])", "\\1\0", line)
    plain = "".join(_ENTITIES.get(character, character) for character in _SPECIAL.sub(r"\\\1", line))
    return _needless(plain).replace("\0", "&#8203;")


def _needless(text: str) -> str:
    """Dashes, underscores and the like inside a word need no backslash, and read better without."""
    return re.sub(r"(?<=[^\W_])\\([-_=+])(?=[^\W_])", r"\1", text)


def fenced(text: str, language: str = "") -> Markdown:
    """A block of code: its fence is longer than any row of backticks in the text."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{text}\n{fence}")


def table(rows: Sequence[Sequence[object]], *headings: str) -> Markdown:
    """A table with its values escaped; a heading that ends with a colon stands over numbers."""
    lines = [
        [heading.rstrip(":") for heading in headings],
        ["---:" if heading.endswith(":") else "---" for heading in headings],
        *([escaped(cell) for cell in row] for row in rows),
    ]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
