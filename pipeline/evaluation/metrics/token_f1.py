"""Token F1: how many words answer and right answer share, as SQuAD counts them.

Rajpurkar et al. 2016, "SQuAD" (arXiv:1606.05250), section 4; the normalisation is that of its evaluation script.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from pipeline.evaluation.metrics.words import spaced

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def score(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`f1`: the mean over answers of the harmonic mean of precision and recall of words."""
    return {"f1": 100 * fmean(_f1(answer, right) for answer, right in zip(answers, references, strict=True))}


def normalized(text: str) -> list[str]:
    """Words in lower case without punctuation and English articles."""
    return spaced(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))).split()


def _f1(answer: str, right: str) -> float:
    given, wanted = normalized(answer), normalized(right)
    if not given or not wanted:
        # As in SQuAD 2.0: no answer is right where none is wanted.
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
