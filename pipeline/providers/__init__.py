"""What a provider is: the functions that load, adapt and merge a model, in a module named after it."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

    from pipeline.config import LoraConfig, ModelConfig


Task = Literal["causal_lm", "seq_cls", "image_text_to_text"]
"""What the model is for: to write text, to score text with one number, or to write text about images."""


class Provider(Protocol):
    """A library that loads and trains models."""

    def load_tokenizer(self, config: "ModelConfig") -> "PreTrainedTokenizerBase":
        """The tokenizer of the base model, with a padding token.

        Raises:
            ModelUnavailable: it cannot be loaded; the text says why.
        """

    def load_processor(self, config: "ModelConfig") -> "ProcessorMixin":
        """What prepares text and images for the base model; its tokenizer is as `load_tokenizer` gives it.

        Raises:
            ModelUnavailable: the model reads text only, or it cannot be loaded; the text says why.
        """

    def load_model(
        self, config: "ModelConfig", *, task: Task, weight_dtype: "torch.dtype", device: "torch.device"
    ) -> "PreTrainedModel":
        """The base model with its weights in `weight_dtype`, or quantized, on `device`.

        Raises:
            ModelUnavailable: it cannot be loaded; the text says why.
        """

    def attach_lora(self, model: "PreTrainedModel", config: "LoraConfig", *, task: Task) -> "PeftModel":
        """The model with fresh adapter matrices on the chosen layers and everything else frozen.

        Raises:
            InvalidConfig: a named layer does not exist.
        """

    def save_merged(self, model: "PeftModel", folder: Path, *, config: "ModelConfig", dtype: "torch.dtype") -> None:
        """Write the base model with the adapter merged into it, in `dtype`, as safetensors.

        A quantized base is read again in `dtype` from where `config` says. The model is unusable afterwards.
        """


def provider_for(name: str) -> Provider:
    """The provider in the module of this name."""
    return cast(Provider, import_module(f"pipeline.providers.{name}"))
