"""Loads, adapts and merges models with transformers and PEFT."""

from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from pipeline.config import LoraConfig, ModelConfig
from pipeline.providers import Task
from pipeline.providers.loading_errors import explained
from pipeline.providers.target_modules import embedding_names, target_modules

MODEL_CLASSES: dict[Task, Any] = {
    "causal_lm": AutoModelForCausalLM,
    "seq_cls": AutoModelForSequenceClassification,
    "image_text_to_text": AutoModelForImageTextToText,
}
# PEFT has no word of its own for models that see.
PEFT_TASKS: dict[Task, str] = {"causal_lm": "CAUSAL_LM", "seq_cls": "SEQ_CLS", "image_text_to_text": "CAUSAL_LM"}


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of the base model, padding on the right; without a padding token, the end token pads."""
    source = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    with explained(config):
        # First, because it knows better than the tokenizer what is wrong with a model that cannot be loaded.
        AutoConfig.from_pretrained(config.base_model, **source)
        tokenizer = AutoTokenizer.from_pretrained(config.base_model, **source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(config: ModelConfig, *, task: Task, weight_dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The base model with its weights in `weight_dtype` on `device`."""
    # A score is one number.
    head = {"num_labels": 1} if task == "seq_cls" else {}
    with explained(config):
        model = MODEL_CLASSES[task].from_pretrained(
            config.base_model,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            dtype=weight_dtype,
            attn_implementation=None if config.attention == "auto" else config.attention,
            **head,
        )
    return model.to(device)


def attach_lora(model: PreTrainedModel, config: LoraConfig, *, task: Task) -> PeftModel:
    """The model with fresh adapter matrices on the chosen layers and everything else frozen."""
    whole = embedding_names(model) if config.train_embeddings else []
    adapter = peft.LoraConfig(
        task_type=PEFT_TASKS[task],
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=target_modules(model, config.target_modules),
        use_rslora=config.variant == "rslora",
        use_dora=config.variant == "dora",
        modules_to_save=whole,
        # Without this, PEFT would train an embedding and a head of the same weight apart.
        ensure_weight_tying=len(whole) > 1 and model.config.tie_word_embeddings,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.get_decoder().modules()),
    )
    adapted = get_peft_model(model, adapter)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            # PEFT widens the matrices of its own, but not the copies of whole layers.
            parameter.data = parameter.data.float()
    for module in adapted.modules():
        # PEFT would widen every layer's input to fp32 only for autocast to narrow it again.
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def save_merged(model: PeftModel, folder: Path) -> None:
    """Write the base model with the adapter merged into it as safetensors. The model is unusable afterwards."""
    merged = model.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
