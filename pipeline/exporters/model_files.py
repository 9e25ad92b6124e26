"""The small files of a model: what a merged model takes over from its base and from its adapter."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

CONFIG_FILE, TOKENIZER_CONFIG, TEMPLATE_FILE = "config.json", "tokenizer_config.json", "chat_template.jinja"
ADDED_TOKENS = "added_tokens_decoder"
# The base's own description is not that of the merged model.
_TAKEN = (".json", ".jinja", ".model", ".txt", ".tiktoken", ".py")
_LEFT = (".index.json", "adapter_config.json", "trainer_state.json")
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")


def write_model_files(
    base: Path, adapter: Path, folder: Path, *, dtype: torch.dtype, untied: bool, trust_remote_code: bool
) -> None:
    """Write everything but the weights to `folder`: the base's configuration and tokenizer, the adapter's template.

    The base's own files are kept as they are: transformers writes no `tokenizer.model` and no `added_tokens_decoder`,
    which other programs need to tell special tokens from text.
    """
    for file in sorted(base.iterdir()):
        is_taken = file.name.endswith(_TAKEN) and not file.name.endswith(_LEFT)
        if file.is_file() and (is_taken or file.name.startswith(_LICENCES)):
            shutil.copyfile(file, folder / file.name)
    _edit(folder / CONFIG_FILE, lambda config: _describe(config, dtype, untied))
    if not (folder / TOKENIZER_CONFIG).exists():
        return
    template = adapter / TEMPLATE_FILE
    if template.exists():
        shutil.copyfile(template, folder / TEMPLATE_FILE)
    _edit(folder / TOKENIZER_CONFIG, lambda config: _complete(config, base, template.exists(), trust_remote_code))


def _edit(file: Path, change: Any) -> None:
    document = json.loads(file.read_text("utf-8"))
    change(document)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _describe(config: dict[str, Any], dtype: torch.dtype, untied: bool) -> None:
    config.pop("_name_or_path", None)
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for name in ("dtype", "torch_dtype"):
            if name in part:
                part[name] = str(dtype).removeprefix("torch.")
        if untied and (part is config or "tie_word_embeddings" in part):
            part["tie_word_embeddings"] = False


def without_local_paths(file: Path) -> None:
    """Take out of a tokenizer's settings what names a file of the machine that wrote them."""
    _edit(file, _drop_paths)


def _drop_paths(config: dict[str, Any]) -> None:
    for name in [name for name, value in config.items() if isinstance(value, str) and Path(value).is_absolute()]:
        del config[name]


def _complete(config: dict[str, Any], base: Path, has_template: bool, trust_remote_code: bool) -> None:
    _drop_paths(config)
    if has_template:
        config.pop("chat_template", None)
    if ADDED_TOKENS not in config:
        config[ADDED_TOKENS] = added_tokens(base, trust_remote_code=trust_remote_code)


def added_tokens(folder: Path, *, trust_remote_code: bool = False) -> dict[str, Any]:
    """The special tokens of the tokenizer in `folder` as transformers wrote them before version 5."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {
        str(number): {field: getattr(token, field) for field in fields}
        for number, token in tokenizer.added_tokens_decoder.items()
    }
