"""ROUGE: how many words, pairs of words and words in order answer and right answer share (Lin 2004)."""

from collections.abc import Sequence

from pipeline.evaluation.metrics.words import words

_KEYS = ("rouge1", "rouge2", "rougeL")


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`rouge1`, `rouge2`, `rougeL`: means over answers of the harmonic mean of precision and recall, no stemming."""
    # Loading it takes seconds, which only runs that use it should spend.
    from torchmetrics.functional.text import rouge_score

    values = rouge_score(
        list(answers), list(references), rouge_keys=_KEYS, normalizer=lambda text: text, tokenizer=words
    )
    return {key: 100 * float(values[f"{key}_fmeasure"]) for key in _KEYS}
