"""What a model's list of files tells before a weight is read: whether it can be trained, and which files that takes."""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import ModelConfig
from pipeline.errors import ModelUnavailable

CONFIG_FILE = "config.json"
ADAPTER_FILE = "adapter_config.json"
# In the order in which transformers looks for them.
SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json")
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SMALL_ENDINGS = (".json", ".jinja", ".txt", ".model", ".tiktoken")
_TEMPLATES = "additional_chat_templates/"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model by their paths in it, wherever it lies; `read` gives the text of one."""

    name: str
    paths: frozenset[str]
    read: Callable[[str], str]

    def read_object(self, path: str) -> dict[str, Any]:
        """A JSON file of the model.

        Raises:
            ModelUnavailable: it holds something else.
        """
        try:
            value = json.loads(self.read(path))
        except ValueError as error:
            raise ModelUnavailable(f"{path} of {self.name} is not JSON. Download or write it again.") from error
        if not isinstance(value, dict):
            raise ModelUnavailable(f"{path} of {self.name} holds no JSON object. Download or write it again.")
        return value


def local_files(folder: Path, *, name: str | None = None) -> ModelFiles:
    """The files of a model in a folder, which is called `name` in messages.

    Raises:
        ModelUnavailable: there is no such folder.
    """
    if not folder.is_dir():
        raise ModelUnavailable(
            f"There is no folder at {folder}. Check the path, or give a Hugging Face id such as google/gemma-3-1b-it."
        )
    # No deeper: the folder may be somebody's home.
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    paths = frozenset(path.relative_to(folder).as_posix() for path in found)
    shown = str(folder) if name is None else name
    return ModelFiles(shown, paths, lambda path: (folder / path).read_text(encoding="utf-8"))


def require_model(files: ModelFiles) -> None:
    """Raise ModelUnavailable where the files are no model that training could start from, whatever its weights."""
    if CONFIG_FILE in files.paths:
        config = files.read_object(CONFIG_FILE)
        parts = (config, config.get("text_config"))
        found = [
            part["quantization_config"] for part in parts if isinstance(part, dict) and "quantization_config" in part
        ]
        if found:
            raise ModelUnavailable(
                f"{files.name} is quantized already{_by(found[0])}, and such weights cannot be trained on. Choose the "
                f"16-bit model that it was made from{_origin(files)}; model.quantization can keep that small meanwhile."
            )
        return
    if ADAPTER_FILE in files.paths:
        base = files.read_object(ADAPTER_FILE).get("base_model_name_or_path")
        raise ModelUnavailable(
            f"{files.name} holds an adapter, not a whole model. Give the model that it was trained on as the base "
            f"model{f': {base}' if base else ''}."
        )
    if _ending_with(files.paths, (".gguf",)):
        raise ModelUnavailable(
            f"{files.name} holds GGUF files, which are for running a model and cannot be trained on. Choose the 16-bit "
            f"model that they were made from{_origin(files)}."
        )
    raise ModelUnavailable(f"{files.name} has no {CONFIG_FILE}. Give a model in Hugging Face format.")


def weight_files(files: ModelFiles, *, allow_pickle: bool) -> list[str]:
    """The files with the weights and the index of these files, if there is one.

    Raises:
        ModelUnavailable: there are none, some are missing, or they are pickles and `allow_pickle` is not set.
    """
    kinds = (*SAFETENSORS_FILES, *PICKLE_FILES) if allow_pickle else SAFETENSORS_FILES
    first = next((name for name in kinds if name in files.paths), None)
    if first is None:
        raise ModelUnavailable(_no_weights(files))
    if not first.endswith(".index.json"):
        return [first]
    shards = sorted(set(files.read_object(first)["weight_map"].values()))
    missing = [shard for shard in shards if shard not in files.paths]
    if missing:
        raise ModelUnavailable(
            f"{files.name} is not whole: {missing[0]} is missing, and {first} names it. Download or upload it again."
        )
    return [first, *shards]


def needed_files(files: ModelFiles, config: ModelConfig) -> list[str]:
    """Everything that loading the model and its tokenizer takes, and nothing else that lies beside it.

    Raises:
        ModelUnavailable: it cannot be trained; the text says why.
    """
    require_model(files)
    weights = weight_files(files, allow_pickle=config.allow_pickle)
    indexes = {*SAFETENSORS_FILES, *PICKLE_FILES}
    small = [path for path in files.paths - indexes if _is_small(path, with_code=config.trust_remote_code)]
    return sorted({*weights, *small})


def holds_weights(path: str) -> bool:
    """Whether a file with this name is one of weights and not of words about them."""
    return path.endswith((".safetensors", *_PICKLE_ENDINGS))


def _is_small(path: str, *, with_code: bool) -> bool:
    if with_code and path.endswith(".py"):
        return True
    return path.startswith(_TEMPLATES) or ("/" not in path and path.endswith(_SMALL_ENDINGS))


def _no_weights(files: ModelFiles) -> str:
    pickles = _ending_with(files.paths, _PICKLE_ENDINGS)
    if pickles and any(name in files.paths for name in PICKLE_FILES):
        return (
            f"{files.name} has its weights as a pickle only ({pickles[0]}), and such a file can run code when it is "
            "opened. Choose a model with safetensors files, or turn model.allow_pickle on if you trust this one."
        )
    if _ending_with(files.paths, (".gguf",)):
        return (
            f"{files.name} has its weights as GGUF only, which is for running a model and cannot be trained on. Choose "
            f"the 16-bit model that it was made from{_origin(files)}."
        )
    return f"{files.name} has no {SAFETENSORS_FILES[0]}, so it has no weights to start from. Choose a whole model."


def _ending_with(paths: Collection[str], endings: tuple[str, ...]) -> list[str]:
    return sorted(path for path in paths if path.lower().endswith(endings))


def _by(quantization: Any) -> str:
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    return f" ({method})" if method else ""


def _origin(files: ModelFiles) -> str:
    """The model that the README's header names as the base model, after a comma; empty where it names none."""
    if "README.md" not in files.paths:
        return ""
    header = re.match(r"---\s*\n(.*?)\n---", files.read("README.md"), re.DOTALL)
    try:
        told = yaml.safe_load(header[1]) if header is not None else None
    except yaml.YAMLError:
        return ""
    base = told.get("base_model") if isinstance(told, dict) else None
    first = base[0] if isinstance(base, list) and base else base
    return f", {first}" if isinstance(first, str) else ""
