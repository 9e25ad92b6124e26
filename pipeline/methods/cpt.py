"""Continued pre-training: texts as they are, long ones in pieces, every token trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example
from pipeline.events import RowDropped
from pipeline.methods.sft import build_trainer
from pipeline.model_manager import LoadedModel
from pipeline.row_encoder import IGNORED, RowEncoder, TokenizedRow

__all__ = ["build_trainer", "encoder"]


@dataclass(frozen=True)
class Document(TokenizedRow):
    """A text that is cut into pieces rather than off. `begins_with_bos`: whether its first token is no text."""

    begins_with_bos: bool = False

    def cut(self, max_length: int) -> list[Self]:
        """Its pieces of at most `max_length` tokens, in which each token but the first is predicted once.

        A piece goes on from the last token of the one before, which is read but not trained on again. Each begins
        with the begin token if the text does: models trained with it are lost without it, Gemma's above all.
        """
        if len(self.input_ids) <= max_length:
            return [self]
        lead = self.input_ids[:1] if self.begins_with_bos else []
        pieces = [(self.input_ids[:max_length], self.labels[:max_length])]
        step = max_length - len(lead) - 1
        for start in range(max_length, len(self.input_ids), step):
            ids, labels = self.input_ids[start : start + step], self.labels[start : start + step]
            read = [*lead, self.input_ids[start - 1]]
            pieces.append(([*read, *ids], [*(IGNORED for _ in read), *labels]))
        return [type(self)(self.row, ids, labels, self.begins_with_bos) for ids, labels in pieces]


class DocumentEncoder:
    """Tokenises plain texts, each ended by the end token."""

    def __init__(self, rows: RowEncoder) -> None:
        self._rows = rows

    def encode(self, examples: Sequence[Example], *, on_dropped: Callable[[RowDropped], None]) -> list[Document]:
        """The texts in their order; one of a single token has nothing to predict and goes to `on_dropped`."""
        documents, bos = [], self._rows.tokenizer.bos_token_id
        for row in self._rows.encode(list(examples), on_dropped=on_dropped):
            if len(row.input_ids) < 2:
                on_dropped(RowDropped(row=row.row, reason="it is shorter than two tokens, so there is none to predict"))
                continue
            begins_with_bos = bos is not None and row.input_ids[0] == bos
            documents.append(Document(row.row, row.input_ids, row.labels, begins_with_bos))
        return documents


def encoder(config: FineTuneJobConfig, loaded: LoadedModel) -> DocumentEncoder:
    """What turns texts into token ids."""
    return DocumentEncoder(RowEncoder(loaded.tokenizer, train_on="all"))
