"""Loads, adapts and merges models with transformers and PEFT."""

import re
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
from pipeline.errors import InvalidConfig, Problem
from pipeline.providers import Task
from pipeline.providers.loading_errors import explained

ALL_LINEAR = "all-linear"
# Conv1D is GPT-2's way of writing a linear layer.
LINEAR_LAYERS = (torch.nn.Linear, Conv1D)
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
    adapter = peft.LoraConfig(
        task_type=PEFT_TASKS[task],
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=_target_modules(model, config.target_modules),
    )
    adapted = get_peft_model(model, adapter)
    for module in adapted.modules():
        # PEFT would widen every layer's input to fp32 only for autocast to narrow it again.
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def save_merged(model: PeftModel, folder: Path) -> None:
    """Write the base model with the adapter merged into it as safetensors. The model is unusable afterwards."""
    merged = model.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)


def _target_modules(model: PreTrainedModel, wanted: str) -> str | list[str]:
    linear_leaves = _linear_leaves(model)
    if wanted != ALL_LINEAR:
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        unknown = [name for name in names if name not in linear_leaves]
        if unknown or not names:
            raise InvalidConfig([_unknown_layers(unknown, linear_leaves)])
        return names
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    ours = {id(module) for module in (*decoder.modules(), head)}
    if not any(isinstance(module, LINEAR_LAYERS) and id(module) not in ours for module in model.modules()):
        return sorted(linear_leaves)
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    # A regular expression, so that the vision and audio towers of a multimodal model stay as they are.
    return rf"{re.escape(prefix)}\..*\b({'|'.join(map(re.escape, sorted(linear_leaves)))})"


def _linear_leaves(model: PreTrainedModel) -> set[str]:
    """Last parts of the names of the language model's linear layers, the output head aside."""
    modules = model.get_decoder().named_modules()
    return {name.rpartition(".")[2] for name, module in modules if isinstance(module, LINEAR_LAYERS)}


def _unknown_layers(unknown: list[str], known: set[str]) -> Problem:
    seen = f"no layer is called {', '.join(unknown)}" if unknown else "no layer is named"
    return Problem(
        "tuning.target_modules", f"{seen} in this model. Use {ALL_LINEAR}, or some of: {', '.join(sorted(known))}."
    )
