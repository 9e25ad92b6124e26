"""BLEU: the share of runs of up to four words that answers have from right answers (Papineni et al. 2002)."""

from collections.abc import Sequence

from sacrebleu.metrics.bleu import BLEU


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`bleu`: over all answers together, with the tokeniser and smoothing of sacreBLEU's default (Post 2018)."""
    return {"bleu": BLEU().corpus_score(list(answers), [list(references)]).score}
