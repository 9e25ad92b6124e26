"""Splits text of any language into the words that scores count."""

import regex

# Scripts that put no blanks between words: each of their characters counts as a word.
_WITHOUT_BLANKS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_CHARACTER = regex.compile(rf"{_WITHOUT_BLANKS}\p{{M}}*")
_WORD = regex.compile(rf"{_CHARACTER.pattern}|(?:(?!{_WITHOUT_BLANKS})[\p{{L}}\p{{M}}\p{{N}}])+")


def words(text: str) -> list[str]:
    """Words and numbers in lower case, without punctuation; on ASCII those of the original ROUGE."""
    found: list[str] = _WORD.findall(text.lower())
    return found


def spaced(text: str) -> str:
    """The text with blanks around each character of a script that has none between words."""
    with_blanks: str = _CHARACTER.sub(r" \g<0> ", text)
    return with_blanks
