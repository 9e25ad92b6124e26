"""Runs a converter of llama.cpp in a process of its own: the folder of converters, the script, and its arguments.

The converter knows how a vocabulary of byte-pair encoding splits text by a hash of what it makes of one sample, and
gives up on every vocabulary that was extended. LAPIDARY_PRE_TOKENIZER then says it; whether that is right, the parity
gate shows.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

PRE_TOKENIZER = "LAPIDARY_PRE_TOKENIZER"


def main() -> None:
    """Convert."""
    folder, script, *arguments = sys.argv[1:]
    sys.path[:0] = [folder, str(Path(folder) / "gguf-py")]
    from conversion import base  # type: ignore[import-not-found]

    _fall_back(base.TextModel, os.environ.get(PRE_TOKENIZER, ""))
    sys.argv = [str(Path(folder) / script), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _fall_back(model: Any, fallback: str) -> None:
    known = model.get_vocab_base_pre

    def get_vocab_base_pre(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            if not fallback:
                raise
            return fallback

    model.get_vocab_base_pre = get_vocab_base_pre


if __name__ == "__main__":
    main()
