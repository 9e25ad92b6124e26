"""Builds a model of the Gemma 3 architecture so small that a test can train it, and rows for it to learn."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaTokenizer,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from trl.chat_template_utils import gemma3_chat_template

SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
IMAGE_TOKENS = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}
IMAGE_SIDE = 28
TOKENS_PER_IMAGE = 4
VOCABULARY = 512
STONES = ("agate", "beryl", "citrine", "garnet", "jasper", "opal", "peridot", "ruby", "topaz", "zircon")


def build_tiny_gemma(folder: Path, *, softcap: float | None = None) -> Path:
    """Write a random model with its tokenizer to `folder` and return it. The same arguments give the same weights."""
    tokenizer = build_tokenizer()
    save(Gemma3ForCausalLM, text_config(tokenizer, softcap=softcap), tokenizer, folder)
    return folder


def build_tiny_multimodal(folder: Path) -> Path:
    """Write a random model that also sees images, like Gemma 3 from 4B on, with its processor; return its folder."""
    tokenizer = build_tokenizer(IMAGE_TOKENS)
    config = Gemma3Config(
        text_config=text_config(tokenizer).to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": IMAGE_SIDE,
            "patch_size": 14,
        },
        mm_tokens_per_image=TOKENS_PER_IMAGE,
        image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )
    save(Gemma3ForConditionalGeneration, config, tokenizer, folder)
    images = Gemma3ImageProcessorPil(size={"height": IMAGE_SIDE, "width": IMAGE_SIDE})
    template = tokenizer.chat_template
    Gemma3Processor(images, tokenizer, template, image_seq_length=TOKENS_PER_IMAGE).save_pretrained(folder)
    return folder


def text_config(tokenizer: GemmaTokenizer, *, softcap: float | None = None) -> Gemma3TextConfig:
    """Two layers, one of each kind of attention."""
    return Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=256,
        final_logit_softcapping=softcap,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")],
        pad_token_id=tokenizer.pad_token_id,
    )


def save(kind: Any, config: Any, tokenizer: GemmaTokenizer, folder: Path) -> None:
    """Write a model of this kind with the same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config)
        for name, weight in model.named_parameters():
            if name.endswith("mm_input_projection_weight"):
                # It begins as zeros, and the language model would see nothing.
                torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_tokenizer(named_tokens: dict[str, str] | None = None) -> GemmaTokenizer:
    """A byte-fallback BPE with Gemma's special tokens and chat template, and further special tokens by their roles."""
    named_tokens = {} if named_tokens is None else named_tokens
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))  # noqa: S106 - a token of text
    trained.normalizer = normalizers.Replace(" ", "▁")
    # As in Gemma's tokenizer, no word grows over a line's end.
    trained.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|▁?[^▁\n]+|▁"), behavior="isolated")
    texts = [f"{turn['role']}\n{turn['content']}" for row in chat_rows(50) for turn in row["messages"]]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIAL_TOKENS, *named_tokens.values(), *BYTE_TOKENS],
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        extra_special_tokens=["<start_of_turn>", "<end_of_turn>", *named_tokens.values()],
        add_bos_token=True,
        model_max_length=256,
        **named_tokens,
    )
    tokenizer.chat_template = gemma3_chat_template
    return tokenizer


def chat_rows(count: int) -> list[dict[str, Any]]:
    """Conversations of one to three questions with answers of different lengths."""
    rows = []
    for index in range(count):
        turns = []
        for turn in range(1 + index % 3):
            stone = STONES[(index + turn) % len(STONES)]
            turns.append({"role": "user", "content": f"How many carats has the {stone}?"})
            turns.append(
                {
                    "role": "assistant",
                    "content": f"The {stone} has {1 + index % 7} carats" + " exactly" * (index % 5) + ".",
                }
            )
        rows.append({"messages": turns})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write one JSON object a line and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
