"""Checkpoints: which of them a run goes on from after it was interrupted."""

import json
import re
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

# The trainer writes it after the weights, the optimiser and the random states: a folder that has it is whole.
STATE_FILE = "trainer_state.json"
_NAME = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def last_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint of the highest step below `folder`, or None if there is none."""
    steps = {int(found[1]): path for path in folder.glob("*") if (found := _NAME.fullmatch(path.name))}
    whole = (steps[step] for step in sorted(steps, reverse=True) if _is_whole(steps[step]))
    return next(whole, None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
