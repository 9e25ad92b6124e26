"""`python -m pipeline generate`: asks the result of a run folder one question."""

import sys
from pathlib import Path

from pipeline.data.example import Message
from pipeline.errors import ModelUnavailable
from pipeline.generate import Decoding, Side, load_for_generation
from pipeline.run_dir import RunDir


def answer(run_dir: RunDir, prompt: str, *, side: Side, decoding: Decoding) -> None:
    """Write the answer of the run's model, or of the base model that it started from, to standard output.

    Raises:
        ModelUnavailable: the run is not complete, or its model cannot be loaded.
    """
    if run_dir.read_manifest() is None:
        raise ModelUnavailable(f"{run_dir.path} is not the folder of a completed run: it has no whole result.json.")
    config = run_dir.read_training_config()
    model = config.model
    adapter: Path | None = run_dir.artifact("adapter")
    base, shown_side = model.base_model, side
    if config.tuning.kind == "full":
        adapter = None
        base = str(run_dir.artifact("model")) if side == "tuned" else model.base_model
        shown_side = "base"
    generator = load_for_generation(
        base, adapter, revision=model.revision, precision=model.precision, trust_remote_code=model.trust_remote_code
    )
    generator.generate([Message("user", prompt)], side=shown_side, decoding=decoding, on_text=_write)
    _write("\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
