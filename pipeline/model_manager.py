"""ModelManager: loads the base model and its tokenizer and makes the right weights trainable."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, set_seed

from pipeline.config import FineTuneJobConfig, FullConfig, LoraConfig, ModelConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.events import ModelLoaded
from pipeline.host_memory import keep_freed_memory
from pipeline.job_tracker import JobTracker
from pipeline.providers import Provider, Task, provider_for
from pipeline.providers.model_source import fetch_model
from pipeline.providers.quantization import weights_in
from pipeline.providers.target_modules import train_language_model

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
ADAPTER_PROGRESS = 0.2
REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class LoadedModel:
    """The model to train, with what the rest of the run must know of it."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    precision: Precision
    device: torch.device
    context_length: int
    processor: ProcessorMixin | None = None

    @property
    def processing(self) -> ProcessorMixin | PreTrainedTokenizerBase:
        """What makes a row into the model's inputs: the processor of a model that sees, else the tokenizer."""
        return self.tokenizer if self.processor is None else self.processor

    @property
    def base(self) -> PreTrainedModel:
        """The causal language model without the adapter's wrapper."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def attention(self) -> str:
        """Name of the attention implementation in use."""
        return self.base.config._attn_implementation


class ModelManager:
    """Loads through the provider of the configuration; the seed fixes the adapter's initial weights."""

    def __init__(self, config: FineTuneJobConfig, tracker: JobTracker, provider: Provider | None = None) -> None:
        self.config = config
        self.tracker = tracker
        self.provider = provider_for(config.model.provider) if provider is None else provider

    def load(self, *, sees_images: bool = False) -> LoadedModel:
        """The base model in memory, its trainable weights chosen; with `sees_images`, its eyes too.

        Raises:
            ModelUnavailable: the model or its tokenizer cannot be loaded.
            InvalidConfig: the hardware lacks the precision or attention that was asked for, or a layer does not exist.
        """
        self.tracker.stage("loading_model", f"Loading {self.config.model.base_model}")
        device = choose_device()
        if device.type == "cpu":
            keep_freed_memory()
        precision = choose_precision(self.config.model.precision, device=device)
        attention = choose_attention(self.config.model, device=device, precision=precision)
        if sees_images and self.config.model.attention == "auto":
            # FlashAttention 2 would hide the later parts of an image from the earlier ones.
            attention = "auto"
        model_config = self.config.model.model_copy(update={"attention": attention})
        processor = self.provider.load_processor(model_config) if sees_images else None
        tokenizer = self.provider.load_tokenizer(model_config) if processor is None else processor.tokenizer
        self._download(model_config)
        weight_dtype = weight_dtype_of(self.config, precision)
        task = task_of(self.config, sees_images=sees_images)
        # The head of a reward model starts at random.
        set_seed(self.config.training.seed)
        base = self.provider.load_model(model_config, task=task, weight_dtype=weight_dtype, device=device)
        told = "Attaching the LoRA adapter" if self.config.tuning.kind == "lora" else "Choosing the weights to train"
        self.tracker.stage("loading_model", told, progress=ADAPTER_PROGRESS)
        loaded = LoadedModel(
            model=choose_trainable(base, self.config, task=task, provider=self.provider),
            tokenizer=tokenizer,
            precision=precision,
            device=device,
            context_length=base.config.get_text_config().max_position_embeddings,
            processor=processor,
        )
        self._report(loaded)
        return loaded

    def _download(self, model_config: ModelConfig) -> None:
        told: float | None = None

        def tell(done: int, total: int | None, what: str) -> None:
            nonlocal told
            now = time.monotonic()
            if told is not None and now - told < REPORT_SECONDS and done != total:
                return
            told = now
            size = f": {done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else ""
            self.tracker.stage("loading_model", f"{what}{size}")

        fetch_model(model_config, progress=tell)
        if told is not None:
            self.tracker.stage("loading_model", f"Loading {model_config.base_model}")

    def _report(self, loaded: LoadedModel) -> None:
        parameters = list(loaded.model.parameters())
        self.tracker.record(
            ModelLoaded(
                parameters=sum(map(weights_in, parameters)),
                trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
                device=str(loaded.device),
                precision=loaded.precision,
                attention=loaded.attention,
            )
        )


def task_of(config: FineTuneJobConfig, *, sees_images: bool) -> Task:
    """What the base model is loaded for."""
    if config.method.kind == "reward":
        return "seq_cls"
    return "image_text_to_text" if sees_images else "causal_lm"


def weight_dtype_of(config: FineTuneJobConfig, precision: Precision) -> torch.dtype:
    """The number format of the base model's weights.

    Small updates vanish in 16-bit weights: what is trained stays in fp32, and autocast computes in 16 bit.
    """
    return DTYPES[precision] if config.tuning.kind == "lora" else torch.float32


def choose_trainable(
    base: PreTrainedModel, config: FineTuneJobConfig, *, task: Task, provider: Provider
) -> PreTrainedModel | PeftModel:
    """The model with its adapter, or with the weights chosen that a full fine-tune trains; the rest is frozen."""
    set_seed(config.training.seed)
    match config.tuning:
        case LoraConfig() as lora:
            return provider.attach_lora(base, lora, task=task)
        case FullConfig() as full:
            train_language_model(base, embeddings=full.train_embeddings)
            return base


def choose_device() -> torch.device:
    """The accelerator that PyTorch sees, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if accelerator is None else accelerator


def choose_precision(wanted: Literal["auto", "bf16", "fp16", "fp32"], *, device: torch.device) -> Precision:
    """The number format to compute in.

    Raises:
        InvalidConfig: fp16 was asked for without a GPU.
    """
    if wanted == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise InvalidConfig([Problem("model.precision", "fp16 needs a GPU and there is none here. Use bf16 or fp32.")])
    return wanted


def choose_attention(
    config: ModelConfig, *, device: torch.device, precision: Precision
) -> Literal["auto", "sdpa", "eager", "flash_attention_2"]:
    """FlashAttention 2 where auto can have it; auto left as it is means the model's best without it, mostly SDPA.

    Raises:
        InvalidConfig: FlashAttention 2 was asked for and cannot run here.
    """
    installed = find_spec("flash_attn") is not None
    usable = installed and device.type == "cuda" and precision != "fp32"
    if config.attention == "auto":
        return "flash_attention_2" if usable else "auto"
    if config.attention == "flash_attention_2" and not usable:
        reason = "is not installed" if not installed else f"cannot run on {device.type} in {precision}"
        raise InvalidConfig([Problem("model.attention", f"FlashAttention 2 {reason}. Use auto or sdpa.")])
    return config.attention


def _has_bf16(device: torch.device) -> bool:
    match device.type:
        case "cpu":
            # Without these instructions PyTorch emulates bf16, slower than fp32.
            return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        case "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        case _:
            return False
