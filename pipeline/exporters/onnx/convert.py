"""Makes an ONNX graph of a model's folder, in a process of its own, with what is needed to ask it beside it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import UserError

GRAPH_FILE = "model.onnx"
INSTALL = 'pip install "lapidary[onnx]"'
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_FILES, _LICENCES = (".json", ".jinja", ".model", ".txt", ".tiktoken"), ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
_INDEX = ".index.json"
_TOLD_LINES = 3


class OnnxNotInstalled(UserError):
    """What ONNX graphs are made with is not installed."""

    code = "onnx_not_installed"


class OnnxFailed(UserError):
    """The model could not be written as a graph; the text has the exporter's last words."""

    code = "onnx_failed"


def require_onnx() -> None:
    """Raise OnnxNotInstalled where a graph could not be made, or not be tried."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise OnnxNotInstalled(f"ONNX needs {', '.join(missing)}. Install it: {INSTALL}")


def convert(model: Path, target_folder: Path) -> None:
    """Write the model in the folder `model` as `model.onnx`, in fp32, with its configuration and tokenizer.

    The graph takes input_ids and attention_mask, both (batch, tokens), and gives logits: (batch, tokens, vocabulary).
    Weights lie in a file of their own beside it. `target_folder` does not exist yet, or is empty.

    Raises:
        OnnxNotInstalled: a package is missing.
        OnnxFailed: the exporter does not know the model, or cannot write; nothing is left behind.
    """
    require_onnx()
    with tempfile.TemporaryDirectory(dir=target_folder.parent, prefix=".stage-") as folder:
        stage = Path(folder) / target_folder.name
        stage.mkdir()
        for file in model.iterdir():
            is_small = file.name.endswith(_FILES) and not file.name.endswith(_INDEX)
            if file.is_file() and (is_small or file.name.startswith(_LICENCES)):
                shutil.copyfile(file, stage / file.name)
        _run([sys.executable, "-m", "pipeline.exporters.onnx.convert_process", str(model), str(stage / GRAPH_FILE)])
        stage.rename(target_folder)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own module
        command,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = " ".join(lines[-_TOLD_LINES:]) or f"it ended with {done.returncode}"
        raise OnnxFailed(f"Writing the ONNX graph failed: {told}")
