"""Continued pre-training: texts as they are, long ones in pieces, every token trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example
from pipeline.events import RowDropped
from pipeline.methods.sft import build_trainer
from pipeline.model_manager import LoadedModel
from pipeline.row_encoder import RowEncoder, TokenizedRow

__all__ = ["build_trainer", "encoder"]


@dataclass(frozen=True)
class Document(TokenizedRow):
    """A text that is cut into pieces rather than off."""

    def cut(self, max_length: int) -> list[Self]:
        """Its pieces of at most `max_length` tokens; a last one of a single token predicts nothing and is left out."""
        starts = range(0, max(1, len(self.input_ids) - 1), max_length)
        pieces = [slice(start, start + max_length) for start in starts]
        return [type(self)(self.row, self.input_ids[piece], self.labels[piece]) for piece in pieces]


class DocumentEncoder:
    """Tokenises plain texts, each ended by the end token."""

    def __init__(self, rows: RowEncoder) -> None:
        self._rows = rows

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[Document]:
        """The texts in their order."""
        rows = self._rows.encode(list(examples), on_dropped=on_dropped)
        return [Document(row.row, row.input_ids, row.labels) for row in rows]


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> DocumentEncoder:
    """What turns texts into token ids."""
    return DocumentEncoder(RowEncoder(loaded.tokenizer, train_on="all"))
