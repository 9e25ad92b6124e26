"""Imports unsloth before the libraries that it changes, in a process whose job names it and in no other.

Nothing here imports unsloth except `import_provider`, so that the studio and the command line can ask what keeps it
from being used.
"""

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from pipeline.config import ModelConfig
from pipeline.errors import InvalidConfig, Problem

_PACKAGES = {"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"}
UNSLOTH_READS_TEXT = "Unsloth is used for text only, and the rows have images. Choose the provider huggingface."
_CHANGED_LIBRARIES = ("transformers", "trl", "peft")
_SETTINGS = {
    # It would download a file of the Hub to be counted.
    "UNSLOTH_DISABLE_STATISTICS": "1",
    # Its loss for CPUs would stand in the way of ours, which is the same on every device.
    "UNSLOTH_CPU_CHUNKED_CE": "0",
    # On a CPU without bf16 instructions it would turn bf16 off again where it was asked for.
    "UNSLOTH_CPU_BF16": "1",
}


def unsloth_folder() -> Path:
    """Where unsloth is installed: not in the environment, where the package `studio` that it brings would hide ours."""
    return Path(os.environ.get("LAPIDARY_HOME", "~/.lapidary")).expanduser() / "unsloth"


def install_command(folder: Path) -> str:
    """The command that installs unsloth into `folder`.

    Its own list of dependencies asks for packages that no training here uses, and for a newer certifi than most
    package indexes have; those that matter are dependencies of this project.
    """
    packages = " ".join(f"{name}=={version}" for name, version in _PACKAGES.items())
    return f"pip install --upgrade --no-deps --target {quote(str(folder))} {packages}"


def unsloth_problem() -> str | None:
    """Why unsloth cannot be used in this environment, and what to do; None where it can. Does not import it."""
    if sys.platform == "darwin":
        return "Unsloth trains with MLX on a Mac, and the trainers here need PyTorch. Choose the provider huggingface."
    folder = unsloth_folder()
    missing = [name for name in _PACKAGES if not _is_importable(name) and not (folder / name / "__init__.py").is_file()]
    if not missing:
        return None
    seen = f"{' and '.join(missing)} cannot be found."
    return f"{seen} Choose the provider huggingface, or run: {install_command(folder)}"


def import_provider(config: ModelConfig, *, compiled_code: Path) -> None:
    """Import unsloth where `config` names it, before anything else does; code that it writes goes to `compiled_code`.

    Raises:
        InvalidConfig: it is not installed, or does not work on this machine.
    """
    if config.provider != "unsloth" or sys.modules.get("unsloth") is not None:
        return
    problem = unsloth_problem()
    if problem is not None:
        raise InvalidConfig([Problem("model.provider", problem)])
    early = [name for name in _CHANGED_LIBRARIES if name in sys.modules]
    if early:
        raise ImportError(f"unsloth has to be imported before {', '.join(early)}.")
    if not all(map(_is_importable, _PACKAGES)):
        # Last, so that nothing else is taken from there that the environment has.
        sys.path.append(str(unsloth_folder()))
    os.environ.update(_SETTINGS, UNSLOTH_COMPILE_LOCATION=str(compiled_code))
    if _has_nvidia_gpu():
        # The one switch that leaves TRL's trainers as they are, with every setting that is given to them. Unsloth's own
        # copies would change data, lengths and untrained embeddings. Despite its name the GPU is used.
        os.environ["UNSLOTH_ALLOW_CPU"] = "1"
    try:
        # Standard output belongs to the command, not to greetings.
        with redirect_stdout(sys.stderr):
            import_module("unsloth")
            _restore_log_probabilities()
    except (ImportError, NotImplementedError, OSError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"Unsloth does not work here: {reason} Choose the provider huggingface."
        raise InvalidConfig([Problem("model.provider", message)]) from error


def _is_importable(name: str) -> bool:
    return find_spec(name) is not None


def _has_nvidia_gpu() -> bool:
    torch: Any = import_module("torch")
    return bool(torch.cuda.is_available() and torch.version.hip is None)


def _restore_log_probabilities() -> None:
    """Put back TRL's own function, which works on a CPU: unsloth's stand-in answers as the next version of TRL will."""
    utils: Any = import_module("trl.trainer.utils")
    function = utils._ChunkedLogProbFunction
    utils._ChunkedLogProbFunction = vars(function).get("_kernel", function)
