"""A held-out row of a model that sees as a prompt: the beginning of the row that it would be trained on."""

from collections.abc import Sequence

from transformers import ProcessorMixin

from pipeline.data.example import Example
from pipeline.evaluation.prompts import HeldOutPrompt, as_shown, reference_text
from pipeline.row_encoder import IGNORED
from pipeline.vision.rows import ImageRowEncoder


class ImageQuestionReader:
    """Reads conversations, with images or without; such a model is trained on answers only."""

    def __init__(self, processor: ProcessorMixin) -> None:
        self.tokenizer = processor.tokenizer
        self.rows = ImageRowEncoder(processor, train_on="assistant")

    def read(self, example: Example) -> HeldOutPrompt | None:
        """The conversation up to its last answer; None where there is none, or an image cannot be read any more."""
        rows = self.rows.encode([example], on_dropped=lambda dropped: None)
        border = _last_answer(rows[0].labels) if rows else 0
        if border == 0:
            return None
        *before, answer = example.messages
        ids = rows[0].input_ids
        return HeldOutPrompt(
            row=example.row,
            ids=ids[:border],
            shown=as_shown(before[-1]),
            reference=reference_text(answer, ids[border:], self.tokenizer),
            reference_tokens=len(ids) - border,
            image_row=rows[0] if rows[0].images else None,
        )


def _last_answer(labels: Sequence[int]) -> int:
    """Where the last run of trained tokens begins; 0 where there is none."""
    trained = [label != IGNORED for label in labels]
    return next((place for place in range(len(labels) - 1, 0, -1) if trained[place] and not trained[place - 1]), 0)
