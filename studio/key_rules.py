"""Which names and values a stored key may have, and how much of a value may be shown."""

import re

from pipeline.errors import Problem

KNOWN_NAMES = {
    "HF_TOKEN": "Hugging Face: private and gated models and data sets",
    "WANDB_API_KEY": "Weights & Biases: run tracking",
    "OPENAI_API_KEY": "OpenAI",
    "LAPIDARY_ENDPOINT_KEY": "an OpenAI-compatible endpoint that you name",
    "AWS_ACCESS_KEY_ID": "Amazon S3: the name of the access key",
    "AWS_SECRET_ACCESS_KEY": "Amazon S3: the access key",
}
"""Names that are offered, with what they are for. Others may be typed."""

ALLOWED_SUFFIXES = ("_TOKEN", "_KEY", "_KEY_ID", "_SECRET", "_PASSWORD")
"""How the name of a key ends. A stored key becomes a variable of a child's environment, where PATH, BASH_ENV and their
like decide what is run: a list of what is allowed cannot miss one, a list of what is forbidden would."""

RESERVED_PREFIXES = ("LAPIDARY_", "PYTHON", "LD_", "DYLD_", "HF_HUB_", "GRADIO_")
"""Variables that steer the studio, the interpreter or a library, refused even where their suffix is allowed."""

MAX_VALUE_LENGTH = 8192
# With fewer characters the last four would be a good part of the whole.
_SHORTEST_WITH_LAST_FOUR = 16
_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


def check_key(name: str, value: str) -> list[Problem]:
    """All that is wrong with a key. No text repeats the name or the value: either could be the secret."""
    found = [("name", _name_problem(name)), ("value", _value_problem(value))]
    return [Problem(field, message) for field, message in found if message is not None]


def last_four(value: str) -> str:
    """The end of a value by which its owner recognises it; empty for a short one."""
    return value[-4:] if len(value) >= _SHORTEST_WITH_LAST_FOUR else ""


def _name_problem(name: str) -> str | None:
    if name in KNOWN_NAMES:
        return None
    if not _NAME.fullmatch(name) or not name.endswith(ALLOWED_SUFFIXES):
        endings = f"{', '.join(ALLOWED_SUFFIXES[:-1])} or {ALLOWED_SUFFIXES[-1]}"
        return (
            "This cannot be the name of a key. Use a name like HF_TOKEN: capital letters, digits and underscores, at "
            f"most 64 characters, ending in {endings}. Others could change how a run's process works."
        )
    if name.startswith(RESERVED_PREFIXES):
        return (
            f"Names that begin with {', '.join(RESERVED_PREFIXES[:-1])} or {RESERVED_PREFIXES[-1]} steer the process "
            "of a run. Use another name."
        )
    return None


def _value_problem(value: str) -> str | None:
    if not value:
        return "The value is empty. Paste the key."
    if len(value) > MAX_VALUE_LENGTH:
        return f"The value has {len(value):,} characters; a key has at most {MAX_VALUE_LENGTH:,}. Paste only the key."
    if not value.isprintable():
        return "The value holds a line break or another character that cannot be seen. Paste the key without it."
    if value != value.strip():
        return "The value begins or ends with a space. Paste the key without it."
    return None
