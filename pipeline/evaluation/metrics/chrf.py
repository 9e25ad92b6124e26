"""chrF: how many runs of up to six characters answers share with right answers (Popović 2015)."""

from collections.abc import Sequence

from sacrebleu.metrics.chrf import CHRF


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`chrf`: over all answers together, chrF2 as sacreBLEU computes it."""
    return {"chrf": CHRF().corpus_score(list(answers), [list(references)]).score}
