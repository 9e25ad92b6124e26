"""Runs a converter of llama.cpp in a process of its own: the folder of converters, the script, and its arguments.

The converter knows how a vocabulary of byte-pair encoding splits text by a hash of what it makes of one sample, and
gives up on every vocabulary that was extended. LAPIDARY_PRE_TOKENIZER then says it; whether that is right, the parity
gate shows. And it knows the weights that see images by the names that transformers wrote before version 5.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

PRE_TOKENIZER = "LAPIDARY_PRE_TOKENIZER"
_EYES, _KNOWN_EYES = "vision_tower.", "vision_tower.vision_model."


def main() -> None:
    """Convert."""
    folder, script, *arguments = sys.argv[1:]
    sys.path[:0] = [folder, str(Path(folder) / "gguf-py")]
    from conversion import base, gemma  # type: ignore[import-not-found]

    _fall_back(base.TextModel, os.environ.get(PRE_TOKENIZER, ""))
    _rename(gemma.Gemma3VisionModel)
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


def _rename(model: Any) -> None:
    known = model.filter_tensors

    def filter_tensors(_: Any, item: tuple[str, Any]) -> Any:
        name, weight = item
        if name.startswith(_EYES) and not name.startswith(_KNOWN_EYES):
            name = name.replace(_EYES, _KNOWN_EYES, 1)
        return known((name, weight))

    model.filter_tensors = classmethod(filter_tensors)


if __name__ == "__main__":
    main()
