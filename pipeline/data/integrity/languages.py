"""The languages of a sample of texts. Imported by child processes only."""

from collections import Counter
from collections.abc import Sequence
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipeline.data.integrity.report import UNDETERMINED, Languages

SAMPLED_ROWS = 500
SAMPLED_CHARACTERS = 1000
# The library's code for text of no language, such as code or numbers.
_NO_LANGUAGE = "zxx"
# Shorter texts are guesses.
_LEAST_CHARACTERS = 20
_LEAST_CONFIDENCE = 0.5


def detect_languages(texts: Sequence[str]) -> Languages:
    """Shares of the languages of these texts, the commonest first; `und` where one cannot be told."""
    if not texts:
        return Languages(sampled_rows=0, shares={})
    found = Counter(_classify(text[:SAMPLED_CHARACTERS]) for text in texts)
    shares = {language: count / len(texts) for language, count in found.most_common()}
    return Languages(sampled_rows=len(texts), shares=shares)


def _classify(text: str) -> str:
    language: str = _identifier().classify(text)[0] if len(text) >= _LEAST_CHARACTERS else UNDETERMINED
    return UNDETERMINED if language == _NO_LANGUAGE else language


@cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_LEAST_CONFIDENCE)
