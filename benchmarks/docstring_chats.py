"""Builds the benchmark's model and data: a small random Gemma 3, and chats from Python's own docstrings."""

import importlib
import inspect
import json
import pkgutil
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast
from trl.chat_template_utils import gemma3_chat_template

TOKENIZER_VOCABULARY = 8192
SHORTEST_ANSWER_CHARACTERS = 50
LONGEST_ANSWER_CHARACTERS = 3000
SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
# Importing these opens windows, browsers or endless loops.
SKIPPED_MODULES = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "tkinter", "test", "lib2to3", "__main__"}

Row = dict[str, str]


def build_model(folder: Path, *, vocabulary: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a random Gemma 3 (hidden 256, 6 layers) with an embedding of `vocabulary` rows, and the tokenizer."""
    config = Gemma3TextConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=64,
        sliding_window=512,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(rows: list[Row]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 8 192 words with Gemma's special tokens and chat template."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENIZER_VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator((text for row in rows for text in row.values()), trainer)
    names = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, **names)
    tokenizer.chat_template = gemma3_chat_template
    return tokenizer


def docstring_rows(count: int) -> list[Row]:
    """`count` questions about the standard library with a docstring as answer, in one fixed random order."""
    found = {row["completion"]: row for row in _all_rows()}
    rows = sorted(found.values(), key=lambda row: row["prompt"])
    random.Random(0).shuffle(rows)  # noqa: S311 - not a secret
    return rows[:count]


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    """Write one JSON object a line and return the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _all_rows() -> Iterator[Row]:
    for name, thing in _documented_things():
        text = inspect.getdoc(thing)
        if text and SHORTEST_ANSWER_CHARACTERS <= len(text) <= LONGEST_ANSWER_CHARACTERS:
            yield {"prompt": f"What does `{name}` do in Python?", "completion": text}


def _documented_things() -> Iterator[tuple[str, object]]:
    for module_name in sorted({*sys.stdlib_module_names, *_submodules()}):
        if module_name.split(".")[0] in SKIPPED_MODULES or module_name.startswith("_"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(module_name)
        except ImportError:
            continue
        for name, thing in sorted(vars(module).items()):
            if name.startswith("_") or not (inspect.isroutine(thing) or inspect.isclass(thing)):
                continue
            yield f"{module_name}.{name}", thing
            if inspect.isclass(thing):
                for member, method in sorted(vars(thing).items()):
                    if not member.startswith("_") and callable(method):
                        yield f"{module_name}.{name}.{member}", method


def _submodules() -> Iterator[str]:
    for package in (
        "asyncio",
        "collections",
        "concurrent.futures",
        "email",
        "http",
        "json",
        "logging",
        "os",
        "urllib",
        "xml.dom",
    ):
        path = (
            importlib.import_module(package).__path__ if hasattr(importlib.import_module(package), "__path__") else []
        )
        yield from (f"{package}.{info.name}" for info in pkgutil.iter_modules(path))
