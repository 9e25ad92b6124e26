"""How long, wide and compressed a source may be; what is beyond was made by mistake, or to fill a disk."""

from collections import Counter

from pipeline.errors import DataProblem

# A conversation of a whole book has 2 MB, and a row with an image as base64 seldom more than 10.
ROW_LIMIT_BYTES = 32 << 20
ROW_LIMIT = f"{ROW_LIMIT_BYTES >> 20} MiB"
COLUMN_LIMIT = 2000

# JSON Lines that repeat a long system prompt compress about 60 to 1; deflate can do 1,000 to 1.
_MOST_EXPANSION = 200
_ALWAYS_ALLOWED_BYTES = 64 << 20
_MOST_UNPACKED_BYTES = 200 << 30


class Expansion:
    """Counts the bytes that come out of a compressed file, while they come.

    What the file's own headers promise is not believed. `most` is how many times its size a file may unpack to, once
    `always_allowed` bytes are exceeded, and `room` how many bytes there is a place for.
    """

    def __init__(
        self,
        name: str,
        packed_bytes: int,
        *,
        most: int = _MOST_EXPANSION,
        always_allowed: int = _ALWAYS_ALLOWED_BYTES,
        room: int = _MOST_UNPACKED_BYTES,
    ) -> None:
        self._name = name
        self._most = most
        self._proportionate = max(always_allowed, packed_bytes * most)
        self._room = min(room, _MOST_UNPACKED_BYTES)
        self.unpacked = 0

    def add(self, count: int) -> None:
        """Count `count` more bytes.

        Raises:
            DataProblem: the file unpacks to too much.
        """
        self.unpacked += count
        if self.unpacked > self._proportionate:
            raise DataProblem(
                f"{self._name} unpacks to more than {self._most} times its size, as files do that are made to fill a "
                "disk. Unpack it yourself, look at what it holds, and give the unpacked files."
            )
        if self.unpacked > self._room:
            raise DataProblem(
                f"{self._name} unpacks to more than {self._room / 1e9:,.1f} GB, and there is no more room for it. "
                "Free some disk space, or give a part of the data."
            )


def check_columns(columns: list[str], name: str) -> None:
    """Check how many columns there are, and that each has a name of its own.

    Raises:
        DataProblem: they are too many, or some share a name; those are listed.
    """
    if len(columns) > COLUMN_LIMIT:
        raise DataProblem(
            f"{name} has {len(columns):,} columns; at most {COLUMN_LIMIT:,} are read. "
            "Check that it holds one row a line, and keep the columns that you need."
        )
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        shown = ", ".join(repr(column) for column in repeated[:5])
        raise DataProblem(f"{name} has more than one column called {shown}. Give every column a name of its own.")


def check_header(cells: list[str], name: str) -> list[str]:
    """The names of the columns in a header, without blanks around them; `column_3` for the third where it has none.

    Raises:
        DataProblem: no column has a name, or `check_columns` finds fault.
    """
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise DataProblem(f"The first line of {name} names no column. Write the columns' names into it.")
    header = [column or f"column_{place}" for place, column in enumerate(names, start=1)]
    check_columns(header, name)
    return header
