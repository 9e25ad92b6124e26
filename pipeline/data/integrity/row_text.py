"""What is wrong with the text of a row: damaged characters, left-overs of a conversion, what nobody should learn."""

import re
from collections.abc import Iterator

_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
# UTF-8 that was read as Windows-1252: what a continuation byte looks like, behind what a leading byte looks like.
_CONTINUATION = "\x80-\xbfŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™"
_MOJIBAKE = re.compile(f"Ã[{_CONTINUATION}]|Â[\xa0-\xbf]|â€[{_CONTINUATION}]|ï»¿|ðŸ|(?:[ÐÑ][{_CONTINUATION}]){{2}}")
_TAGS = "p|br|hr|div|span|a|b|i|u|em|strong|ul|ol|li|table|tr|td|th|h[1-6]|img|font|script|style|html|body|head"
_HTML = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]{{0,500}})?/?>|&(?:nbsp|amp|lt|gt|quot|apos|#\d{{2,6}}|#x[0-9a-f]{{2,5}});",
    re.IGNORECASE,
)
# Beginnings of the keys that services give out, each with the whole shape of the key.
_SECRETS = {
    "sk-": re.compile(r"\bsk-(?=[\w-]*\d)[\w-]{20,}"),
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "ghp_": re.compile(r"\bghp_[A-Za-z0-9]{36}"),
    "github_pat_": re.compile(r"\bgithub_pat_\w{50,}"),
    "glpat-": re.compile(r"\bglpat-[\w-]{20,}"),
    "AKIA": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "AIza": re.compile(r"\bAIza[\w-]{35}"),
    "xox": re.compile(r"\bxox[abprs]-[\w-]{10,}"),
    "-----BEGIN ": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
}
_EMAIL = re.compile(r"[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,}")


def text_problems(text: str) -> Iterator[tuple[str, str]]:
    """Code and reason of each problem of a text. Reasons show no secret.

    Tests for single characters come first: they are fast, and most texts have none of them.
    """
    if found := _CONTROL.search(text):
        yield "control_characters", f"has the control character U+{ord(found[0]):04X}"
    if not text.isascii():
        if "\ufffd" in text:
            yield "replacement_characters", f"has {text.count(chr(0xFFFD))} lost characters"
        if found := _MOJIBAKE.search(text):
            yield "mojibake", f"has {found[0]!r}, which looks like text read in a wrong encoding"
    if ("<" in text or "&" in text) and (found := _HTML.search(text)):
        yield "html_remnants", f"has {found[0][:40]}"
    for beginning, pattern in _SECRETS.items():
        if beginning in text and pattern.search(text):
            yield "secret_like_text", f"has text like a key that begins with {beginning.strip('- ')}"
            break
    if "@" in text and _EMAIL.search(text):
        yield "email_addresses", "has an e-mail address"
