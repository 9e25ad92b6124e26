"""Makes GGUF files of a model's folder: converts it to 16 bits, and quantizes that."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.exporters.gguf.convert_process import PRE_TOKENIZER
from pipeline.exporters.gguf.sentencepiece_file import JSON_FILE, MODEL_FILE, write_sentencepiece
from pipeline.exporters.gguf.tools import CONVERTER, QUIET_ENVIRONMENT, converter, quantizer
from pipeline.exporters.model_files import ADDED_TOKENS, TEMPLATE_FILE, TOKENIZER_CONFIG, added_tokens

WholeType = Literal["bf16", "f16"]
QuantizedType = Literal["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]
# Families whose converter reads a SentencePiece model.
_WITH_SENTENCEPIECE = ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text")
# How vocabularies split text, in llama.cpp's words (src/llama-vocab.cpp), where the vocabulary itself is not known.
_PRE_TOKENIZERS = {"llama": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2", "mistral": "tekken", "gemma4": "gemma4"}
_PLAIN = "gpt-2"
_TOLD_LINES = 3


class GgufFailed(UserError):
    """A program of llama.cpp failed; the text has its last words."""

    code = "gguf_failed"


def convert(model: Path, target: Path, *, dtype: WholeType, template: Path | None = None) -> None:
    """Write the model in the folder `model` as one GGUF file. `template`: a chat template in place of the model's.

    Raises:
        GgufNotInstalled: there is no converter.
        GgufFailed: the converter does not know the model, or cannot write.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".stage-") as folder:
        stage = Path(folder)
        config = stage_model(model, stage)
        if template is not None:
            _use_template(stage, template)
        arguments = [str(stage), "--outtype", dtype, "--outfile", str(target)]
        run_converter(CONVERTER, arguments, environment={PRE_TOKENIZER: _pre_tokenizer(stage, config)})


def quantize(whole: Path, target: Path, kind: QuantizedType) -> None:
    """Write the GGUF file `whole`, which has 16 bits, with fewer bits.

    Raises:
        GgufNotInstalled: there is no quantizer.
        GgufFailed: it failed.
    """
    _run([*quantizer(), str(whole), str(target), kind.upper()], what=f"Quantizing to {kind}", environment={})


def run_converter(script: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a converter of llama.cpp, `script`, in a process of its own.

    Raises:
        GgufNotInstalled: there is none.
        GgufFailed: it failed.
    """
    command = [sys.executable, "-m", "pipeline.exporters.gguf.convert_process", str(converter()), script, *arguments]
    _run(command, what="Converting", environment={} if environment is None else environment)


def stage_model(model: Path, stage: Path) -> dict[str, Any]:
    """Fill the folder `stage` with what a converter needs of the model in `model`, whose own files stay as they are.

    Returns the model's configuration.
    """
    for file in model.iterdir():
        if file.is_file():
            (stage / file.name).symlink_to(file.resolve())
    config: dict[str, Any] = json.loads((model / "config.json").read_text("utf-8"))
    settings = stage / TOKENIZER_CONFIG
    if settings.exists():
        document = json.loads(settings.read_text("utf-8"))
        if ADDED_TOKENS not in document:
            # Without it, the converter takes special tokens for text.
            settings.unlink()
            settings.write_text(json.dumps({**document, ADDED_TOKENS: added_tokens(model)}), encoding="utf-8")
    if config["model_type"] in _WITH_SENTENCEPIECE and not (stage / MODEL_FILE).exists():
        write_sentencepiece(stage)
    return config


def _use_template(stage: Path, template: Path) -> None:
    (stage / TEMPLATE_FILE).unlink(missing_ok=True)
    shutil.copyfile(template, stage / TEMPLATE_FILE)
    settings = stage / TOKENIZER_CONFIG
    document = json.loads(settings.read_text("utf-8"))
    # The converter prefers one that is written here.
    if document.pop("chat_template", None) is not None:
        settings.unlink()
        settings.write_text(json.dumps(document), encoding="utf-8")


def _pre_tokenizer(stage: Path, config: Mapping[str, Any]) -> str:
    file = stage / JSON_FILE
    steps = json.loads(file.read_text("utf-8")).get("pre_tokenizer") if file.exists() else None
    splits = steps is not None and '"Split"' in json.dumps(steps)
    return _PRE_TOKENIZERS.get(str(config["model_type"]), _PLAIN) if splits else _PLAIN


def _run(command: Sequence[str], *, what: str, environment: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own modules, or the user's llama.cpp
        command, env={**os.environ, **QUIET_ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        told = " ".join(lines[-_TOLD_LINES:]) or f"it ended with {done.returncode}"
        raise GgufFailed(f"{what} failed: {told}")
