"""What a job is, in one frozen document.

The form, the API, the database column, the file that the child process reads and the command-line flags are views of
`FineTuneJobConfig`. A field's name, default, bounds and help are written in its class and nowhere else.
"""

from collections.abc import Mapping as AbstractMapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from pipeline.config_base import Config, Text
from pipeline.data_config import AugmentJobConfig, DatasetConfig, ImportJobConfig
from pipeline.export_config import (
    ADAPTER_FORMATS,
    DESTINATIONS_HELP,
    FORMATS_HELP,
    PRIVATE_HELP,
    QUANTIZATIONS_HELP,
    Destinations,
    ExportJobConfig,
    Formats,
    Quantizations,
)
from pipeline.method_config import DEFAULT_LEARNING_RATE, Method, SftConfig
from pipeline.training_config import EvaluationConfig, TrackingConfig, TrainingConfig

OUTPUT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"
OutputName = Annotated[str, StringConstraints(pattern=OUTPUT_NAME_PATTERN)]


class ModelConfig(Config):
    """The model to start from."""

    base_model: Text = Field(
        description="A Hugging Face id such as google/gemma-3-1b-it, a local folder, or an s3:// or gs:// address."
    )
    revision: Text = Field("main", description="Branch, tag or commit of the base model on the Hub.")
    provider: Literal["huggingface", "unsloth"] = Field(
        "huggingface", description="The library that loads and adapts the model. Unsloth has to be installed for it."
    )
    quantization: Literal["none", "4bit", "8bit"] = Field(
        "none",
        description="Keep the frozen base weights in 4 bits (NF4, double quantised: QLoRA) or 8 bits; the adapter "
        "stays whole.",
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Number format of the forward pass. Auto takes bf16 where the hardware has it, else fp32."
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="Attention implementation. Auto takes FlashAttention 2 when installed on a GPU, else SDPA."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that the model repository ships. Only for repositories you trust."
    )
    allow_pickle: bool = Field(
        False, description="Load weights that are no safetensors. Such a file can run code when it is opened."
    )


class LoraConfig(Config):
    """Train small adapter matrices; the base model stays as it is (Hu et al. 2021, arXiv:2106.09685)."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, le=1024, description="Rank of the adapter matrices. Higher learns more, costs more.")
    alpha: int = Field(32, ge=1, le=4096, description="Scale of the adapter: its output is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs dropped while training.")
    variant: Literal["lora", "rslora", "dora"] = Field(
        "lora",
        description="Lora as published; rslora divides by the root of the rank, for high ranks; dora learns length and "
        "direction apart, slower.",
    )
    target_modules: Text = Field(
        "all-linear",
        description="Layers that get an adapter: all-linear (of the language model), or names separated by commas.",
    )
    train_embeddings: bool = Field(
        False, description="Also train the embedding matrix and the output head. Needed for new tokens only."
    )


class FullConfig(Config):
    """Train every weight of the language model; embeddings and output head stay frozen unless asked for."""

    kind: Literal["full"] = "full"
    train_embeddings: bool = Field(
        False, description="Also train the embedding matrix and the output head. Needed for new tokens only."
    )


Tuning = Annotated[LoraConfig | FullConfig, Field(discriminator="kind")]


class ExportConfig(Config):
    """What is written after training. The adapter (or the full model) always is."""

    merged: bool = Field(False, description="Also write the adapter merged into the base model, as safetensors.")
    formats: Formats = Field((), description=f"Files to make and prove when the run has ended. {FORMATS_HELP}")
    quantizations: Quantizations = Field(("q8_0",), min_length=1, description=QUANTIZATIONS_HELP)
    destinations: Destinations = Field((), max_length=8, description=DESTINATIONS_HELP)
    private: bool = Field(True, description=PRIVATE_HELP)

    @model_validator(mode="after")
    def _something_is_sent(self) -> Self:
        if self.destinations and not self.formats:
            raise ValueError("destinations are named, and no formats that are sent there. Choose formats.")
        return self


class FineTuneJobConfig(Config):
    """Everything needed to reproduce one fine-tuning run."""

    kind: Literal["train"] = "train"
    name: OutputName = Field(
        "my-model", description="Name of the model to make: letters, digits, dot, dash, underscore."
    )
    model: ModelConfig
    dataset: DatasetConfig
    tuning: Tuning = LoraConfig()
    method: Method = SftConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    export: ExportConfig = ExportConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_what_follows(cls, data: Any) -> Any:
        """Tuning without a kind is LoRA, a method without one is SFT; the default learning rate follows both."""
        if not isinstance(data, AbstractMapping):
            return data
        filled = dict(data)
        for section, kind in (("tuning", "lora"), ("method", "sft")):
            value = data.get(section)
            if isinstance(value, AbstractMapping) and "kind" not in value:
                filled[section] = {"kind": kind, **value}
        training = data.get("training", {})
        if isinstance(training, AbstractMapping) and "learning_rate" not in training:
            rates = DEFAULT_LEARNING_RATE.get(_kind_of(filled.get("method"), "sft"), {})  # type: ignore[call-overload]
            rate = rates.get(_kind_of(filled.get("tuning"), "lora"))
            if rate is not None:
                filled["training"] = {**training, "learning_rate": rate}
        return filled

    @model_validator(mode="after")
    def _quantized_weights_stay_frozen(self) -> Self:
        if self.model.quantization != "none" and self.tuning.kind == "full":
            raise ValueError(
                f"model.quantization is {self.model.quantization}, and quantized weights cannot be trained. Use LoRA "
                "(tuning.kind lora), or a full fine-tune without quantization."
            )
        return self

    @model_validator(mode="after")
    def _merging_needs_an_adapter(self) -> Self:
        if self.tuning.kind != "full":
            return self
        if self.export.merged:
            raise ValueError("export.merged is for adapters; a full fine-tune already is a whole model. Turn it off.")
        needs_adapter = [name for name in self.export.formats if name in ADAPTER_FORMATS]
        if needs_adapter:
            raise ValueError(
                f"export.formats has {needs_adapter[0]}, which is made of an adapter; a full fine-tune already is a "
                "whole model. Take it out."
            )
        return self


def _kind_of(section: Any, default: str) -> str:
    """The kind of a section or document, given as a mapping or as an object."""
    if section is None:
        return default
    kind = section.get("kind", default) if isinstance(section, AbstractMapping) else getattr(section, "kind", default)
    return str(kind)


def _job_kind(data: Any) -> str:
    """The kind of a document; one that does not say is a fine-tuning run."""
    return _kind_of(data, "train")


AnyJobConfig = FineTuneJobConfig | ImportJobConfig | AugmentJobConfig | ExportJobConfig
JobConfig = Annotated[
    Annotated[FineTuneJobConfig, Tag("train")]
    | Annotated[ImportJobConfig, Tag("import")]
    | Annotated[AugmentJobConfig, Tag("augment")]
    | Annotated[ExportJobConfig, Tag("export")],
    Discriminator(_job_kind),
]
