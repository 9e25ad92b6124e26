"""A small trained model of each family that is exported, with its tokenizer: rows of 256 numbers, for few-bit types."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    Gemma3Processor,
    Gemma3TextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from pipeline.config import LoraConfig, ModelConfig
from pipeline.providers import huggingface
from tests.tiny_gemma import IMAGE_TOKENS, TOKENS_PER_IMAGE, build_tokenizer, chat_rows

LAYERS = 6
STEPS = 30
# Pixels of a side: four times four patches, of which four tokens are made.
_SIDE = 56
_SEEING_STEPS = 40
_STONES = {"red": "ruby", "blue": "topaz", "green": "peridot", "yellow": "citrine"}
_TOKENS = 64
_SHAPE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 256,
}
_PATTERN = ["sliding_attention"] * 5 + ["full_attention"]
_GEMMA: dict[str, Any] = {**_SHAPE, "layer_types": _PATTERN, "sliding_window": 64}
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _for_each_layer(tokens: dict[str, Any]) -> dict[str, Any]:
    """A Gemma with embeddings for each layer."""
    own = {"vocab_size_per_layer_input": tokens["vocab_size"], "hidden_size_per_layer_input": 256}
    return {**_GEMMA, **own, "num_kv_shared_layers": 0, **tokens}


_BUILDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    # llama.cpp takes the scale of attention from the width of the heads.
    "gemma3": lambda tokens: Gemma3ForCausalLM(Gemma3TextConfig(**_GEMMA, **tokens, query_pre_attn_scalar=64)),
    # Other sparsities than 0.95, other ranks than 64 and other caps than 30 are not what llama.cpp computes.
    "gemma3n": lambda tokens: Gemma3nForCausalLM(
        Gemma3nTextConfig(
            **{"activation_sparsity_pattern": [0.95] * LAYERS, **_for_each_layer(tokens)},
            laurel_rank=64,
        )
    ),
    "gemma4": lambda tokens: Gemma4ForCausalLM(
        Gemma4TextConfig(
            **{"final_logit_softcapping": 30.0, **_for_each_layer(tokens)},
            global_head_dim=128,
        )
    ),
    "llama": lambda tokens: LlamaForCausalLM(LlamaConfig(**_SHAPE, **tokens)),
    "qwen2": lambda tokens: Qwen2ForCausalLM(
        Qwen2Config(**{name: value for name, value in _SHAPE.items() if name != "head_dim"}, **tokens)
    ),
    "qwen3": lambda tokens: Qwen3ForCausalLM(Qwen3Config(**_SHAPE, **tokens)),
}
# How Qwen 2 and 3 split text (their tokenizer.json), which llama.cpp knows by that family's name.
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FAMILIES = tuple(_BUILDERS)


def build_family(family: str, folder: Path, **settings: Any) -> Path:
    """Write the model, after a few steps on conversations, with its tokenizer to `folder`. `settings` of its own."""
    is_gemma = family.startswith("gemma")
    pattern = _QWEN_SPLIT if family.startswith("qwen") else None
    tokenizer = build_tokenizer() if is_gemma else byte_level_tokenizer(pattern=pattern)
    end = "<end_of_turn>" if is_gemma else "<|im_end|>"
    tokens = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.convert_tokens_to_ids(end),
        **settings,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _BUILDERS[family](tokens)
        for name, weight in model.named_parameters():
            if name.endswith("correct_output_scale"):
                torch.nn.init.ones_(weight)
            # Gemma 3n and 4 do not divide by the root of the heads' width: what they have learned does. Without it,
            # attention is all or nothing, and rounding decides which.
            if name.endswith("q_norm.weight") and family in ("gemma3n", "gemma4"):
                torch.nn.init.constant_(weight, weight.numel() ** -0.5)
    _train(model, tokenizer, steps=STEPS, learning_rate=2e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_seeing(folder: Path) -> Path:
    """Write a Gemma 3 that sees images, after it has learned to name the stone of a colour, to `folder`."""
    tokenizer = build_tokenizer(IMAGE_TOKENS)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": tokenizer.bos_token_id}
    config = Gemma3Config(
        text_config={**_GEMMA, **tokens, "query_pre_attn_scalar": 64, "eos_token_id": end},
        vision_config={
            **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
            **{"image_size": _SIDE, "patch_size": 14},
        },
        mm_tokens_per_image=TOKENS_PER_IMAGE,
        image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        eos_token_id=end,
    )
    images = Gemma3ImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
    processor = Gemma3Processor(images, tokenizer, tokenizer.chat_template, image_seq_length=TOKENS_PER_IMAGE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Gemma3ForConditionalGeneration(config)
        # It begins as zeros, and the language model would see nothing.
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.05)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = processor.apply_chat_template(
        [_named_colour(colour, stone) for colour, stone in _STONES.items()],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    labels = batch["input_ids"].masked_fill(batch["token_type_ids"].bool() | (batch["attention_mask"] == 0), -100)
    for _ in range(_SEEING_STEPS):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _named_colour(colour: str, stone: str) -> list[dict[str, Any]]:
    picture = {"type": "image", "image": Image.new("RGB", (_SIDE, _SIDE), colour)}
    question = {"type": "text", "text": "Which stone is this?"}
    answer = {"type": "text", "text": f"{stone} it is."}
    return [{"role": "user", "content": [picture, question]}, {"role": "assistant", "content": [answer]}]


def train_adapter(base: Path, folder: Path, **tuning: Any) -> Path:
    """Write an adapter of the model in `base` that has learned for a few steps; it names its base."""
    config = ModelConfig(base_model=str(base))
    model = huggingface.load_model(config, task="causal_lm", weight_dtype=torch.float32, device=torch.device("cpu"))
    torch.manual_seed(0)
    adapted = huggingface.attach_lora(model, LoraConfig(rank=8, **tuning), task="causal_lm")
    _train(adapted, huggingface.load_tokenizer(config), steps=12, learning_rate=2e-3)
    adapted.active_peft_config.base_model_name_or_path = str(base)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def byte_level_tokenizer(*, pattern: str | None = None) -> PreTrainedTokenizerFast:
    """A BPE over bytes with the special tokens and the template of ChatML; `pattern` is how it splits text first."""
    trained = Tokenizer(models.BPE())
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    trained.pre_tokenizer = plain
    if pattern is not None:
        trained.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), plain]
        )
    trained.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator([turn["content"] for row in chat_rows(50) for turn in row["messages"]], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=256
    )
    tokenizer.chat_template = _CHATML
    return tokenizer


def _train(model: Any, tokenizer: Any, *, steps: int, learning_rate: float) -> None:
    rows = [tokenizer.apply_chat_template(row["messages"], return_dict=True)["input_ids"] for row in chat_rows(40)]
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(row[:_TOKENS]) for row in rows], batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row[:_TOKENS]) for row in rows], batch_first=True, padding_value=-100
    )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate)
    model.train()
    for step in range(steps):
        chosen = [(8 * step + offset) % len(rows) for offset in range(8)]
        model(input_ids=padded[chosen], labels=labels[chosen]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
