"""Puts the ordered parts of a mapping together: one text, with images at their places."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.data.cells import cell_text, find_cell, is_blank, write_json
from pipeline.data.example import Message, Row, UnusableRow
from pipeline.data.image_references import IMAGE_MARKER, image_references, mark_places
from pipeline.data.mapping import ColumnPart, ImagePart, Part, Parts, TemplatePart, TextPart

_PLACEHOLDER = re.compile(r"(\{+)([^{}]+)(\}+)")


@dataclass(frozen=True)
class Rendered:
    """Text, and images with the index into the text where each stands."""

    text: str
    images: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()

    def as_message(self, role: str) -> Message:
        """A turn; where its text has one `<image>` marker for each image, they stand there."""
        message = Message(role, self.text, images=self.images, image_positions=self.positions)
        if self.images and self.text.count(IMAGE_MARKER) == len(self.images):
            return mark_places(message, iter(self.images))
        return message


def render_parts(
    row: Row, parts: Parts, *, what: str, columns: Collection[str] | None = None, takes_first: bool = False
) -> Rendered:
    """The parts in their order. Column values are not altered; of a list of texts the first is used if `takes_first`.

    `what` is the name of the whole in a reason. `columns` are those of the data set, by default those of the row; only
    their names are placeholders of a template.

    Raises:
        UnusableRow: a column is missing or blank, or holds no text.
    """
    if len(parts) == 1 and isinstance(parts[0], ColumnPart) and not parts[0].optional:
        return Rendered(_column_text(row, parts[0], takes_first=takes_first))
    known = row.keys() if columns is None else columns
    left_out = _left_out(row, parts)
    texts: list[str] = []
    images: list[str] = []
    positions: list[int] = []
    length, varies, says_something = 0, False, False
    for index, part in enumerate(parts):
        varies = varies or names_column(part, known)
        if index in left_out:
            continue
        match part:
            case TextPart():
                text = part.text
            case ColumnPart():
                text, says_something = _column_text(row, part, takes_first=takes_first), True
            case TemplatePart():
                text = fill_template(part.template, row, columns=known)
                named = template_columns(part.template, known)
                says_something = says_something or any(not is_blank(find_cell(row, name)) for name in named)
            case ImagePart():
                found = image_references(find_cell(row, part.column), what=part.column)
                images.extend(found)
                positions.extend([length] * len(found))
                continue
        texts.append(text)
        length += len(text)
    whole = "".join(texts)
    if not images and (whole.isspace() or not whole or (varies and not says_something)):
        missing = next((part.column for part in parts if isinstance(part, ImagePart)), what)
        raise UnusableRow(f"{missing} is empty")
    return Rendered(whole, tuple(images), tuple(positions))


def names_column(part: Part, columns: Collection[str]) -> bool:
    """Whether a part differs from row to row."""
    if isinstance(part, TemplatePart):
        return bool(template_columns(part.template, columns))
    return not isinstance(part, TextPart)


def fill_template(template: str, row: Row, *, columns: Collection[str]) -> str:
    """The template with `{column}` replaced by the value of that column, and `{{column}}` by `{column}`.

    Braces around anything that is no column stay as they are. Blank cells become nothing; lists and objects JSON.

    Raises:
        UnusableRow: the row lacks a column that the template names.
    """

    def fill(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if not _is_column(name, row, columns):
            return match[0]
        braces = min(len(opening), len(closing))
        value = _template_value(row, name) if braces % 2 else name
        pairs = braces // 2
        return opening[braces:] + "{" * pairs + value + "}" * pairs + closing[braces:]

    return _PLACEHOLDER.sub(fill, template)


def template_columns(template: str, columns: Collection[str]) -> list[str]:
    """The columns that a template names, in their order."""
    return [match[2] for match in _PLACEHOLDER.finditer(template) if _is_column(match[2], {}, columns)]


def _column_text(row: Row, part: ColumnPart, *, takes_first: bool) -> str:
    value = find_cell(row, part.column, json_text=part.json_text)
    if type(value) is str and value and not value.isspace():
        return value
    return cell_text(value, what=part.column, takes_first=takes_first)


def _left_out(row: Row, parts: Parts) -> set[int]:
    """The optional parts that are blank, each with the text that joins it to the part before, or else to the next."""
    left_out: set[int] = set()
    for index, part in enumerate(parts):
        if not isinstance(part, ColumnPart) or not part.optional or not is_blank(find_cell(row, part.column)):
            continue
        left_out.add(index)
        before, after = index - 1, index + 1
        if before >= 0 and before not in left_out and isinstance(parts[before], TextPart):
            left_out.add(before)
        elif after < len(parts) and all(earlier in left_out for earlier in range(index)):
            left_out.update({after} if isinstance(parts[after], TextPart) else ())
    return left_out


def _is_column(name: str, row: Row, columns: Collection[str]) -> bool:
    head = name.split(".")[0]
    return name in columns or (head != name and head in columns and not isinstance(row.get(head), (str, int, float)))


def _template_value(row: Row, name: str) -> str:
    value = find_cell(row, name)
    if value is None and name not in row:
        raise UnusableRow(f"{name} is missing")
    if is_blank(value):
        return value if isinstance(value, str) else ""
    return write_json(value) if isinstance(value, (list, dict)) else cell_text(value, what=name)
