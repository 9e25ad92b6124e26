"""What a job is, in one frozen document.

The form, the API, the database column, the file that the child process reads and the command-line flags are views of
`FineTuneJobConfig`. A field's name, default, bounds and help are written in its class and nowhere else.
"""

from collections.abc import Mapping as AbstractMapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from pipeline.config_base import Config, Text
from pipeline.data_config import AugmentJobConfig, DatasetConfig, ImportJobConfig

OUTPUT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"
OutputName = Annotated[str, StringConstraints(pattern=OUTPUT_NAME_PATTERN)]

DEFAULT_LEARNING_RATE = {"lora": 2e-4, "full": 2e-5}


class ModelConfig(Config):
    """The model to start from."""

    base_model: Text = Field(description="A Hugging Face id such as google/gemma-3-1b-it, or a local folder.")
    revision: Text = Field("main", description="Branch, tag or commit of the base model on the Hub.")
    provider: Literal["huggingface"] = Field("huggingface", description="The library that loads and trains the model.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Number format of the forward pass. Auto takes bf16 where the hardware has it, else fp32."
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="Attention implementation. Auto takes FlashAttention 2 when installed on a GPU, else SDPA."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that the model repository ships. Only for repositories you trust."
    )


class LoraConfig(Config):
    """Train small adapter matrices; the base model stays as it is (Hu et al. 2021, arXiv:2106.09685)."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, le=1024, description="Rank of the adapter matrices. Higher learns more, costs more.")
    alpha: int = Field(32, ge=1, le=4096, description="Scale of the adapter: its output is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs dropped while training.")
    target_modules: Text = Field(
        "all-linear", description="Layers that get an adapter: all-linear, or names separated by commas."
    )


class FullConfig(Config):
    """Train every weight of the language model; embeddings and output head stay frozen unless asked for."""

    kind: Literal["full"] = "full"
    train_embeddings: bool = Field(False, description="Also train the embedding matrix and the output head.")


Tuning = Annotated[LoraConfig | FullConfig, Field(discriminator="kind")]


class SftConfig(Config):
    """Supervised fine-tuning on example answers."""

    kind: Literal["sft"] = "sft"
    train_on: Literal["assistant", "all"] = Field(
        "assistant", description="Tokens the loss is taken on: the assistant's answers, or the whole conversation."
    )
    max_length: int | None = Field(
        None,
        ge=8,
        le=1_048_576,
        description="Longest row in tokens; longer ones are cut. Empty: from the data, capped by the model's context.",
    )


class TrainingConfig(Config):
    """How the optimiser walks."""

    epochs: float = Field(3.0, gt=0, le=1000, description="How often each row is seen.")
    max_steps: int | None = Field(
        None, ge=1, le=10_000_000, description="Stop after this many steps, before the epochs end."
    )
    learning_rate: float = Field(
        DEFAULT_LEARNING_RATE["lora"],
        gt=0,
        le=1,
        description="Peak learning rate. Default 2e-4 for LoRA, 2e-5 for full.",
    )
    per_device_batch_size: int = Field(8, ge=1, le=4096, description="Rows that go through the model at once.")
    gradient_accumulation_steps: int = Field(1, ge=1, le=4096, description="Batches added up before each update.")
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="How the learning rate falls after warm-up."
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Pull of the trained weights towards zero.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients longer than this are shortened to it.")
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adafactor"] = Field(
        "adamw_torch_fused", description="The update rule."
    )
    batching: Literal["auto", "grouped", "packed", "random"] = Field(
        "auto",
        description="How rows become batches. Auto packs rows where the attention keeps them apart (FlashAttention 2), "
        "else puts rows of similar length together.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, slower."
    )
    logging_steps: int = Field(1, ge=1, le=100_000, description="Steps between two logged values.")
    eval_strategy: Literal["no", "steps", "epoch"] = Field("epoch", description="When the held-out rows are scored.")
    eval_steps: int = Field(100, ge=1, description="Steps between two evaluations, with the strategy steps.")
    save_strategy: Literal["no", "steps", "epoch"] = Field("epoch", description="When a checkpoint is written.")
    save_steps: int = Field(100, ge=1, description="Steps between two checkpoints, with the strategy steps.")
    save_total_limit: int = Field(2, ge=1, le=100, description="Checkpoints kept; older ones are deleted.")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of data order, splits and weight initialisation.")

    @property
    def rows_per_step(self) -> int:
        """Rows per optimiser step on one device."""
        return self.per_device_batch_size * self.gradient_accumulation_steps


class ExportConfig(Config):
    """What is written after training. The adapter (or the full model) always is."""

    merged: bool = Field(False, description="Also write the adapter merged into the base model, as safetensors.")


class FineTuneJobConfig(Config):
    """Everything needed to reproduce one fine-tuning run."""

    kind: Literal["train"] = "train"
    name: OutputName = Field(
        "my-model", description="Name of the model to make: letters, digits, dot, dash, underscore."
    )
    model: ModelConfig
    dataset: DatasetConfig
    tuning: Tuning = LoraConfig()
    method: SftConfig = SftConfig()
    training: TrainingConfig = TrainingConfig()
    export: ExportConfig = ExportConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_what_follows(cls, data: Any) -> Any:
        """A tuning section without a kind is LoRA; the default learning rate follows the kind."""
        if not isinstance(data, AbstractMapping):
            return data
        tuning, training = data.get("tuning"), data.get("training", {})
        if isinstance(tuning, AbstractMapping) and "kind" not in tuning:
            data = {**data, "tuning": {"kind": "lora", **tuning}}
        kind = tuning.get("kind") if isinstance(tuning, AbstractMapping) else getattr(tuning, "kind", "lora")
        if kind == "full" and isinstance(training, AbstractMapping) and "learning_rate" not in training:
            return {**data, "training": {**training, "learning_rate": DEFAULT_LEARNING_RATE["full"]}}
        return data

    @model_validator(mode="after")
    def _merging_needs_an_adapter(self) -> Self:
        if self.export.merged and self.tuning.kind == "full":
            raise ValueError("export.merged is for adapters; a full fine-tune already is a whole model. Turn it off.")
        return self


def _kind_of(data: Any) -> str:
    """The kind of a document; one that does not say is a fine-tuning run."""
    kind = data.get("kind", "train") if isinstance(data, AbstractMapping) else getattr(data, "kind", "train")
    return str(kind)


AnyJobConfig = FineTuneJobConfig | ImportJobConfig | AugmentJobConfig
JobConfig = Annotated[
    Annotated[FineTuneJobConfig, Tag("train")]
    | Annotated[ImportJobConfig, Tag("import")]
    | Annotated[AugmentJobConfig, Tag("augment")],
    Discriminator(_kind_of),
]
