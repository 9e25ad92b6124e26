"""Which split a file belongs to, from its name and the folders that it is in."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

DEFAULT_SPLIT = "train"
_NAMES = {
    "train": ("training", "train"),
    "validation": ("validation", "valid", "val", "development", "dev", "evaluation", "eval"),
    "test": ("testing", "test"),
}
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}
_IN_A_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(_SPLIT_OF)})(?![a-z])")


def split_name(text: str) -> str | None:
    """`train`, `validation` or `test` where the text names one as a word: `train-00000-of-00002`, `dev`, `my_test`."""
    found = _IN_A_NAME.search(text.lower())
    return _SPLIT_OF[found[1]] if found else None


def splits_of(files: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The split of each file: the nearest name tells. All are `train` unless the names tell several splits apart."""
    named = {file: _nearest(file) for file in files}
    if len(set(named.values())) < 2:  # noqa: PLR2004 - fewer are no division
        return dict.fromkeys(named, DEFAULT_SPLIT)
    return {file: split or DEFAULT_SPLIT for file, split in named.items()}


def _nearest(file: PurePosixPath) -> str | None:
    parts = (file.stem, *reversed(file.parent.parts))
    return next((split for split in map(split_name, parts) if split), None)
