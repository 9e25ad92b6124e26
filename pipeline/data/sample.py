"""Sample: some rows of a data set seen by column: what each is called and what its cells hold."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pipeline.data.cells import decode_text, is_blank, read_label
from pipeline.data.example import Row, UnusableRow
from pipeline.data.image_references import looks_like_image
from pipeline.data.sides import holds_turns
from pipeline.data.turns import CONTENT_KEYS, EXCHANGE_KEYS, KNOWN_ROLES, ROLE_KEYS

Kind = Literal["empty", "text", "number", "flag", "turns", "texts", "image", "object", "list"]

_JOINERS = re.compile(r"[\s_\-.\ufeff]+")


class Sample:
    """Rows by column. Names are compared without case, spaces, underscores, dashes and a byte order mark."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.columns: list[str] = list(dict.fromkeys(name for row in rows for name in row))
        self._by_name: dict[str, str] = {}
        for column in self.columns:
            self._by_name.setdefault(_plain(column), column)
        self._cells = {name: [row[name] for row in rows if not is_blank(row.get(name))] for name in self.columns}
        self._kinds = {name: _majority(_kind_of(cell) for cell in cells) for name, cells in self._cells.items()}

    def find(self, *names: str, kinds: Iterable[Kind] | None = None) -> str | None:
        """The column that has the first of these names, and one of these kinds."""
        for name in names:
            column = self._by_name.get(_plain(name))
            if column is not None and (kinds is None or self._kinds[column] in kinds):
                return column
        return None

    def kind(self, column: str) -> Kind:
        """What most cells of the column hold."""
        return self._kinds[column]

    def cells(self, column: str) -> list[Any]:
        """The cells of the column that are not blank."""
        return self._cells[column]

    def is_json_text(self, column: str) -> bool:
        """Whether the column holds lists or objects written as text."""
        written = [isinstance(cell, str) for cell in self._cells[column]]
        return self._kinds[column] in ("turns", "object") and 2 * sum(written) > len(written)

    def is_image(self, column: str) -> bool:
        """Whether most cells of the column are images."""
        cells = self._cells[column]
        return bool(cells) and 2 * sum(looks_like_image(cell) for cell in cells) > len(cells)

    def is_label(self, column: str) -> bool:
        """Whether most cells of the column say good or bad."""
        cells = self._cells[column]
        return bool(cells) and 2 * sum(_is_label(cell) for cell in cells) > len(cells)

    def turns(self, column: str) -> list[Any]:
        """All turns in the column, one after the other."""
        return [turn for cell in self._cells[column] for turn in _list_of(cell)]

    def mean_length(self, column: str) -> float:
        """Characters of a cell, on average over those that are not blank."""
        cells = self._cells[column]
        return sum(len(str(cell)) for cell in cells) / max(1, len(cells))


def find_keys(turns: Sequence[Any]) -> tuple[str, str] | None:
    """The keys under which turns hold their role and their content; None where they are not turns.

    A key that is not known by name is recognised by its values: role words.
    """
    objects = [turn for turn in turns if isinstance(turn, dict)]
    if not objects:
        return None
    keys = list(dict.fromkeys(key for turn in objects for key in turn))
    common = [key for key in keys if all(isinstance(turn.get(key), (str, dict)) for turn in objects)]
    role = next((key for name in ROLE_KEYS for key in common if _plain(key) == name), None)
    # The keys of exchanges say who speaks; a question may be a role word by chance.
    if role is None and not all(is_exchange(turn) for turn in objects):
        role = next((key for key in common if _are_roles([turn[key] for turn in objects])), None)
    content = next((key for name in CONTENT_KEYS for key in keys if _plain(key) == name and key != role), None)
    if content is None:
        content = next((key for key in common if key != role), None)
    return None if role is None or content is None else (role, content)


def is_exchange(turn: Any) -> bool:
    """Whether an object holds a question and its answer."""
    roles = [EXCHANGE_KEYS.get(key.strip().lower()) for key in turn] if isinstance(turn, dict) else []
    return roles.count("user") == 1 and roles.count("assistant") == 1


def _kind_of(value: Any) -> Kind:
    match value:
        case bool():
            return "flag"
        case int() | float():
            return "number"
        case str():
            decoded = decode_text(value) if value.lstrip().startswith(("[{", "{")) else None
            if decoded is not None and _kind_of(decoded) == "turns":
                return "turns"
            return "text"
        case bytes():
            return "image"
        case dict():
            return "turns" if holds_turns(value) else "image" if looks_like_image(value) else "object"
        case list():
            if all(isinstance(item, str) for item in value):
                return "texts"
            if all(isinstance(item, dict) for item in value):
                if looks_like_image(value):
                    return "image"
                return "turns" if find_keys(value) is not None or is_exchange(value[0]) else "list"
            return "list"
        case _:
            return "object"


def _majority(kinds: Iterable[Kind]) -> Kind:
    counted = Counter(kinds).most_common(1)
    return counted[0][0] if counted else "empty"


def _plain(name: str) -> str:
    return _JOINERS.sub("", name).casefold()


def _are_roles(values: Sequence[Any]) -> bool:
    """Whether all values name roles, a user or an assistant among them: tools are called function too."""
    roles = [KNOWN_ROLES.get(value.strip().lower()) if isinstance(value, str) else None for value in values]
    return None not in roles and bool({"user", "assistant"} & set(roles))


def _is_label(cell: Any) -> bool:
    try:
        read_label(cell, what="label")
    except UnusableRow:
        return False
    return True


def _list_of(cell: Any) -> list[Any]:
    value = decode_text(cell) if isinstance(cell, str) else cell
    return value if isinstance(value, list) else [value]
