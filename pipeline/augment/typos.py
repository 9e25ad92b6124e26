"""Typos: slips of a keyboard in questions, so that a model answers people who type fast.

The slips are those of Belinkov and Bisk (2018, arXiv:1711.02173: neighbouring keys, swapped letters) and of the
keyboard noise of NoiseQA (Ravichander et al. 2021, arXiv:2102.08345), with the dropped and doubled letters of CheckList
(Ribeiro et al. 2020, arXiv:2005.04118) and NL-Augmenter (Dhole et al. 2021, arXiv:2112.02721). Answers are never
altered. Replacing, inserting and deleting words as in EDA (Wei and Zou 2019, arXiv:1901.11196) is left out: made for
labels, it changes what a question asks.
"""

import random
from collections.abc import Callable

from pipeline.augment.alterable import repeated_words, stretches_of
from pipeline.augment.config import TyposAugmentation
from pipeline.augment.example_turns import user_texts, with_user_turns
from pipeline.augment.outcome import Refused
from pipeline.data.example import Example

# Shorter words become other words ("is", "as"), which changes the question.
_SHORTEST_WORD = 4
# Keys that touch on a QWERTY keyboard.
_NEIGHBOURS = {
    **{"q": "wa", "w": "qeas", "e": "wrsd", "r": "etdf", "t": "ryfg", "y": "tugh", "u": "yihj", "i": "uojk"},
    **{"o": "ipkl", "p": "ol", "a": "qwsz", "s": "wedxza", "d": "erfcxs", "f": "rtgvcd", "g": "tyhbvf", "h": "yujnbg"},
    **{"j": "uikmnh", "k": "iolmj", "l": "opk", "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn"},
    **{"n": "bhjm", "m": "njk"},
}


def add_typos(config: TyposAugmentation, example: Example, random_numbers: random.Random) -> Example | Refused:
    """The example with slips in `rate` of the words of its questions, at least one; refused where no word is free."""
    fixed = repeated_words(example)
    turns = [stretches_of(text, fixed) for text in user_texts(example)]
    texts = [[stretch.text for stretch in stretches] for stretches in turns]
    free = [
        (turn, position)
        for turn, stretches in enumerate(turns)
        for position, stretch in enumerate(stretches)
        if stretch.is_free and _may_be_misspelt(stretch.text)
    ]
    if not free:
        return Refused.because("nothing_to_alter", f"no word of row {example.row}'s question may be misspelt")
    for turn, position in random_numbers.sample(free, max(1, round(len(free) * config.rate))):
        texts[turn][position] = misspell(texts[turn][position], random_numbers)
    return with_user_turns(example, ["".join(pieces) for pieces in texts])


def misspell(word: str, random_numbers: random.Random) -> str:
    """The word with one slip, never at its first letter, which people seldom miss. Words of two letters or more."""
    slips = list(_SLIPS)
    random_numbers.shuffle(slips)
    for slip in slips:
        changed = slip(word, random_numbers.randrange(1, len(word)), random_numbers)
        if changed != word:
            return changed
    return word + word[-1]


def _may_be_misspelt(word: str) -> bool:
    # Scripts without capitals are not typed letter by letter; whole words in capitals are names and codes.
    has_case = all(letter.lower() != letter.upper() for letter in word)
    return has_case and len(word) >= _SHORTEST_WORD and not word.isupper()


def _hit_neighbour(word: str, position: int, random_numbers: random.Random) -> str:
    letter = word[position]
    if letter.lower() not in _NEIGHBOURS:
        return word
    hit = random_numbers.choice(_NEIGHBOURS[letter.lower()])
    return word[:position] + (hit.upper() if letter.isupper() else hit) + word[position + 1 :]


def _swap(word: str, position: int, random_numbers: random.Random) -> str:
    if position == 1:
        return word
    return word[: position - 1] + word[position] + word[position - 1] + word[position + 1 :]


def _drop(word: str, position: int, random_numbers: random.Random) -> str:
    return word[:position] + word[position + 1 :]


def _double(word: str, position: int, random_numbers: random.Random) -> str:
    return word[: position + 1] + word[position:]


_SLIPS: tuple[Callable[[str, int, random.Random], str], ...] = (_hit_neighbour, _swap, _drop, _double)
