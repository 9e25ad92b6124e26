"""Loads, adapts and merges models with transformers and PEFT."""

from typing import Any

import peft
import torch
from peft import PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.pytorch_utils import Conv1D

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers import Task
from pipeline.providers.loaded_checks import require_architecture, require_weights
from pipeline.providers.loading_errors import explained
from pipeline.providers.merging import save_merged
from pipeline.providers.model_source import fetch_model, located
from pipeline.providers.quantization import numbered, prepare_for_training, quantization_config, require_variant
from pipeline.providers.target_modules import embedding_names, target_modules
from pipeline.vision.limits import text_model_problem

__all__ = ["attach_lora", "load_model", "load_processor", "load_tokenizer", "save_merged"]

MODEL_CLASSES: dict[Task, Any] = {
    "causal_lm": AutoModelForCausalLM,
    "seq_cls": AutoModelForSequenceClassification,
    "image_text_to_text": AutoModelForImageTextToText,
}
# PEFT has no word of its own for models that see.
PEFT_TASKS: dict[Task, str] = {"causal_lm": "CAUSAL_LM", "seq_cls": "SEQ_CLS", "image_text_to_text": "CAUSAL_LM"}


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of the base model, padding on the right; without a padding token, the end token pads."""
    config = located(config)
    source = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    with explained(config):
        # First, because it knows better than the tokenizer what is wrong with a model that cannot be loaded.
        AutoConfig.from_pretrained(config.base_model, **source)
        tokenizer = AutoTokenizer.from_pretrained(config.base_model, **source)
    return _padding_right(tokenizer)


def load_processor(config: ModelConfig) -> ProcessorMixin:
    """The processor of a base model that sees images; its tokenizer is as `load_tokenizer` gives it."""
    name, config = config.base_model, located(config)
    source = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    with explained(config):
        model_config = AutoConfig.from_pretrained(config.base_model, **source)
    if model_config.to_dict().get("vision_config") is None:
        raise ModelUnavailable(text_model_problem(name))
    with explained(config):
        processor = AutoProcessor.from_pretrained(config.base_model, **source)
    if processor.chat_template is not None:
        processor.tokenizer.chat_template = processor.chat_template
    _padding_right(processor.tokenizer)
    return processor


def _padding_right(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(config: ModelConfig, *, task: Task, weight_dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The base model with its weights in `weight_dtype`, or quantized, on `device`."""
    folder = fetch_model(config)
    # A score is one number.
    head = {"num_labels": 1} if task == "seq_cls" else {}
    source = {"trust_remote_code": config.trust_remote_code}
    with explained(config):
        model_config = AutoConfig.from_pretrained(folder, **source, **head)
        require_architecture(model_config, task=task, name=config.base_model)
        model, told = MODEL_CLASSES[task].from_pretrained(
            folder,
            config=model_config,
            dtype=weight_dtype,
            attn_implementation=None if config.attention == "auto" else config.attention,
            use_safetensors=None if config.allow_pickle else True,
            output_loading_info=True,
            **source,
            **_quantized(config, task, model_config, weight_dtype=weight_dtype, device=device),
        )
    require_weights(model, told["missing_keys"], name=config.base_model)
    if config.quantization != "none":
        prepare_for_training(model)
        return model
    return model.to(device)


def _quantized(
    config: ModelConfig, task: Task, model_config: Any, *, weight_dtype: torch.dtype, device: torch.device
) -> dict[str, Any]:
    if config.quantization == "none":
        return {}
    quantization = quantization_config(
        config.quantization, MODEL_CLASSES[task], model_config, compute_dtype=weight_dtype
    )
    return {"quantization_config": quantization, "device_map": {"": numbered(device)}}


def attach_lora(model: PreTrainedModel, config: LoraConfig, *, task: Task) -> PeftModel:
    """The model with fresh adapter matrices on the chosen layers and everything else frozen."""
    require_variant(model, config.variant)
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
