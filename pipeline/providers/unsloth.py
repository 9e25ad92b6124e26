"""Loads and adapts models with unsloth; tokenizer, template and merging are those of the provider huggingface.

On a CPU unsloth builds on transformers and PEFT as they are. On a GPU it puts faster layers in their place: kernels of
its own in the decoder and, for Llama, Mistral, Gemma 1 and 2 and Qwen 2 and 3, products of adapter and weight in one.
The adapter that comes out is PEFT's either way.
"""

import sys
from contextlib import redirect_stdout
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoConfig, PreTrainedModel, ProcessorMixin

from pipeline.config import LoraConfig, ModelConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.providers import Task
from pipeline.providers.huggingface import MODEL_CLASSES, load_tokenizer
from pipeline.providers.import_order import UNSLOTH_READS_TEXT, unsloth_problem
from pipeline.providers.loaded_checks import require_architecture, require_weights
from pipeline.providers.loading_errors import explained
from pipeline.providers.merging import save_merged
from pipeline.providers.model_source import fetch_model
from pipeline.providers.quantization import numbered, prepare_for_training, quantized_bits
from pipeline.providers.target_modules import embedding_names, target_modules

__all__ = ["attach_lora", "load_model", "load_processor", "load_tokenizer", "save_merged"]


def load_processor(config: ModelConfig) -> ProcessorMixin:
    """Refuse to read images.

    Raises:
        InvalidConfig: always.
    """
    raise InvalidConfig([Problem("model.provider", UNSLOTH_READS_TEXT)])


def load_model(config: ModelConfig, *, task: Task, weight_dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The base model with its weights in `weight_dtype`, or in 4 bits, on `device`.

    Unsloth chooses the attention itself; `config.attention` is not looked at.
    """
    fast_model = _fast_language_model()
    if task != "causal_lm":
        raise InvalidConfig([Problem("model.provider", "Unsloth is used for models that write text. Use huggingface.")])
    folder = fetch_model(config)
    source = {
        "trust_remote_code": config.trust_remote_code,
        "use_safetensors": None if config.allow_pickle else True,
    }
    with explained(config), redirect_stdout(sys.stderr):
        model_config = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code)
        require_architecture(model_config, task=task, name=config.base_model)
        # Unsloth does not say which weights were missing. Without memory, this reads no more than their names.
        skeleton, told = MODEL_CLASSES[task].from_pretrained(
            folder, config=model_config, device_map={"": "meta"}, output_loading_info=True, **source
        )
        require_weights(skeleton, told["missing_keys"], name=config.base_model)
        model, _ = fast_model.from_pretrained(
            str(folder),
            # It would look up quantized copies of models that it knows, and take those.
            use_exact_model_name=True,
            local_files_only=True,
            token=False,
            **source,
            dtype=weight_dtype,
            load_in_4bit=config.quantization == "4bit",
            device_map={"": numbered(device)},
            # Longer rows are cut by Unsloth, and another length than the model's own would stretch its positions.
            max_seq_length=model_config.get_text_config().max_position_embeddings,
            # The trainer switches it on where it is asked for.
            use_gradient_checkpointing=False,
            fix_tokenizer=False,
            # The loss reads the embedding matrix where it is tied to the head.
            offload_embedding=False,
        )
    _require_what_was_asked(model, config, weight_dtype=weight_dtype)
    # Its own way to generate leaves the layers without gradient checkpointing; that of the class does not.
    vars(model).pop("generate", None)
    return model


def attach_lora(model: PreTrainedModel, config: LoraConfig, *, task: Task) -> PeftModel:
    """The model with fresh adapter matrices on the chosen layers and everything else frozen."""
    whole = embedding_names(model) if config.train_embeddings else []
    use_cache = model.config.use_cache
    with redirect_stdout(sys.stderr):
        adapted: PeftModel = _fast_language_model().get_peft_model(
            model,
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=target_modules(model, config.target_modules),
            use_rslora=config.variant == "rslora",
            modules_to_save=whole,
            ensure_weight_tying=len(whole) > 1 and model.config.tie_word_embeddings,
            use_gradient_checkpointing=False,
            # It seeds before it draws the matrices: with the seed of the run, which was the last one to be set.
            random_state=torch.initial_seed() % 2**32,
        )
    # Saved with a merged model, it would make that one slow.
    model.config.use_cache = use_cache
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in adapted.modules():
        # As with the provider huggingface: no widening of inputs that autocast narrows again.
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def _fast_language_model() -> Any:
    module = sys.modules.get("unsloth")
    if module is None:
        late = "Unsloth has to be imported before transformers. Start the run with python -m pipeline run."
        raise InvalidConfig([Problem("model.provider", unsloth_problem() or late)])
    return module.FastLanguageModel


def _require_what_was_asked(model: PreTrainedModel, config: ModelConfig, *, weight_dtype: torch.dtype) -> None:
    """Raise InvalidConfig where Unsloth has loaded something else, which it does with no more than a printed line."""
    if config.quantization == "none":
        if model.dtype != weight_dtype:
            message = f"Unsloth holds this model in {model.dtype} on this machine. Choose the provider huggingface."
            raise InvalidConfig([Problem("model.precision", message)])
        return
    if quantized_bits(model) is None:
        message = "Unsloth cannot keep this model in 4 bits on this machine. Use none, or the provider huggingface."
        raise InvalidConfig([Problem("model.quantization", message)])
    prepare_for_training(model)
