"""Case: questions in small letters, in capitals, or without punctuation, as people type on a phone.

Taken from the invariances of CheckList (Ribeiro et al. 2020, arXiv:2005.04118: punctuation) and NL-Augmenter (Dhole et
al. 2021, arXiv:2112.02721: letter case). Answers are never altered, and words that they repeat keep their letters.
"""

import random
import re

from pipeline.augment.alterable import Stretch, repeated_words, stretches_of
from pipeline.augment.config import CaseAugmentation
from pipeline.augment.example_turns import user_texts, with_user_turns
from pipeline.augment.outcome import Refused
from pipeline.data.example import Example

# Marks between or after words; those inside of a number belong to it.
_PUNCTUATION = re.compile(r"(?<![.,;:!?…])[.,;:!?…]+(?=\s|$)")


def change_case(config: CaseAugmentation, example: Example, random_numbers: random.Random) -> Example | Refused:
    """The example with all its questions typed in the configured way; refused where that changes nothing."""
    fixed = repeated_words(example)
    before = user_texts(example)
    after = [_typed(config.style, stretches_of(text, fixed)) for text in before]
    if after == before or not all(text.strip() for text in after):
        return Refused.because("nothing_to_alter", f"row {example.row}'s question is typed like that already")
    return with_user_turns(example, after)


def _typed(style: str, stretches: list[Stretch]) -> str:
    match style:
        case "lower":
            return "".join(stretch.text.lower() if stretch.is_free else stretch.text for stretch in stretches)
        case "upper":
            return "".join(stretch.text.upper() if stretch.is_free else stretch.text for stretch in stretches)
    return "".join(
        _without_punctuation(stretch, is_last=number == len(stretches))
        for number, stretch in enumerate(stretches, start=1)
    )


def _without_punctuation(stretch: Stretch, *, is_last: bool) -> str:
    if not stretch.is_free:
        return stretch.text
    # The end of a piece is not the end of the text: a point may belong to what follows it.
    return _PUNCTUATION.sub("", stretch.text if is_last else stretch.text + "\0").removesuffix("\0")
