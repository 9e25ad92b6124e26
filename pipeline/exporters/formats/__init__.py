"""One module a format: how its files are made, and how they are opened to be asked. A module's name is the format's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from pipeline.exporters.gate import Gate
from pipeline.exporters.order import ExportOrder, Report
from pipeline.exporters.parity import ParityCheck, Speaker


@dataclass(frozen=True)
class Candidate:
    """Files that were made, to be compared with the trained model. `name` is the file's, or the format's.

    `further` are checks of its own, asked while it is open.
    """

    name: str
    number_format: str
    opened: Callable[[], AbstractContextManager[Speaker]]
    further: Callable[[Speaker], Sequence[ParityCheck]] = lambda speaker: ()


class Exporter(Protocol):
    """What a format's module has."""

    def require(self) -> None:
        """Raise a UserError with the line that installs what is missing."""

    def needed_bytes(self, size_bytes: int, quantizations: tuple[str, ...]) -> int:
        """Disk for files of a model whose weights take `size_bytes` in 16 bits, those in between included."""

    def make(self, order: ExportOrder, folder: Path, *, gate: Gate, report: Report) -> Iterator[Candidate]:
        """Write files to `folder` and hand each out when it is whole; it has been judged when the next is asked for.

        Raises:
            UserError: it cannot be made; the text says why.
        """


def exporter_of(format_name: str) -> Exporter:
    """The module of a format."""
    return cast(Exporter, import_module(f"pipeline.exporters.formats.{format_name}"))
