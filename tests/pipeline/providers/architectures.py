"""A tiny random model of each architecture that the tests train, built once and copied."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3ForSequenceClassification,
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    Gemma4Config,
    Gemma4ForCausalLM,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

LAYERS = 3
# Above the ids of text, so that no text is taken for an image.
_PLACEHOLDERS = range(200, 208)
_SHAPE = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_HEADED = {**_SHAPE, "head_dim": 16}
_ALTERNATING = {**_HEADED, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
_SHARED = {
    **_ALTERNATING,
    "vocab_size_per_layer_input": 256,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 1,
}
_GPT2 = {"vocab_size": 256, "n_positions": 64, "n_embd": 32, "n_layer": LAYERS, "n_head": 2, "pad_token_id": 0}
_UNDROPPED = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 2}


def _gemma3_multimodal(**options: Any) -> Gemma3Config:
    return Gemma3Config(
        text_config=Gemma3TextConfig(**_ALTERNATING).to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        image_token_index=_PLACEHOLDERS[0],
        boi_token_index=_PLACEHOLDERS[1],
        eoi_token_index=_PLACEHOLDERS[2],
        **options,
    )


def _gemma4_multimodal() -> Gemma4Config:
    names = ("image_token_id", "video_token_id", "audio_token_id", "boi_token_id", "eoi_token_id", "boa_token_id")
    return Gemma4Config(
        text_config=Gemma4TextConfig(**_SHARED, global_head_dim=32).to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "patch_size": 4,
            "position_embedding_size": 64,
        },
        audio_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "output_proj_dims": 16,
            "subsampling_conv_channels": [4, 4],
        },
        **dict(zip(names, _PLACEHOLDERS, strict=False)),
        eoa_token_index=_PLACEHOLDERS[6],
    )


_BUILDERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**_HEADED)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**_ALTERNATING)),
    "gemma3_multimodal": lambda: Gemma3ForConditionalGeneration(_gemma3_multimodal()),
    "gemma3n": lambda: Gemma3nForCausalLM(
        Gemma3nTextConfig(**_SHARED, laurel_rank=8, activation_sparsity_pattern=[0.95] * LAYERS)
    ),
    "gemma4": lambda: Gemma4ForCausalLM(Gemma4TextConfig(**_SHARED, global_head_dim=32)),
    "gemma4_multimodal": lambda: Gemma4ForConditionalGeneration(_gemma4_multimodal()),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_HEADED)),
    "smollm": lambda: LlamaForCausalLM(LlamaConfig(**_HEADED, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_HEADED)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**_SHAPE)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_HEADED)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**_GPT2, **_UNDROPPED)),
}
_SCORERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gemma3_multimodal": lambda: Gemma3ForSequenceClassification(_gemma3_multimodal(num_labels=1)),
    "llama": lambda: LlamaForSequenceClassification(LlamaConfig(**_HEADED, num_labels=1)),
    "gpt2": lambda: GPT2ForSequenceClassification(GPT2Config(**_GPT2, **_UNDROPPED, num_labels=1)),
}
ARCHITECTURES = tuple(_BUILDERS)
SCORERS = tuple(_SCORERS)


def tiny_model(architecture: str) -> PreTrainedModel:
    """A copy of the random model of this architecture that writes text."""
    return copy.deepcopy(_built(_BUILDERS[architecture]))


def tiny_scorer(architecture: str) -> PreTrainedModel:
    """A copy of the random model of this architecture that scores text with one number."""
    return copy.deepcopy(_built(_SCORERS[architecture]))


def text_batch() -> dict[str, torch.Tensor]:
    """Two rows of token ids of different lengths, padded on the right, with labels on the second half of each."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(5, min(_PLACEHOLDERS), (2, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :5] = -100
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask, "labels": labels}


@cache
def _built(build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
    for name, parameter in model.named_parameters():
        # Gemma 3n begins with zeros here, which keep gradients from all that lies behind them.
        if name.endswith("correct_output_scale"):
            torch.nn.init.ones_(parameter)
    return model
