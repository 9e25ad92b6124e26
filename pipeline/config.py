"""Every configuration class: what a job is, in one frozen document.

The form, the API, the database column, the file that the child process reads and the command-line flags are views of
`FineTuneJobConfig`. A field's name, default, bounds and help are written here and nowhere else.
"""

import json
from collections.abc import Mapping as AbstractMapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from pipeline.augment.config import Augmentation
from pipeline.data.mapping import ColumnPart, Mapping

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
OUTPUT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"
OutputName = Annotated[str, StringConstraints(pattern=OUTPUT_NAME_PATTERN)]

DEFAULT_LEARNING_RATE = {"lora": 2e-4, "full": 2e-5}


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


def _parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from error


OptionalText = Annotated[Text | None, BeforeValidator(_blank_is_none)]


class Config(BaseModel):
    """Base of every configuration class: immutable, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


class DatasetConfig(Config):
    """The rows to learn from."""

    path: Text = Field(
        description="A file with the training rows, the folder of an imported data set, or a Hugging Face id."
    )
    mapping: Annotated[Mapping | None, BeforeValidator(_parse_json)] = Field(
        None, description="How the columns become examples, as JSON. Empty: recognised from the rows."
    )
    prompt_column: OptionalText = Field(None, description="Column with the question, when it is not recognised.")
    completion_column: OptionalText = Field(None, description="Column with the answer, when it is not recognised.")
    train_split: OptionalText = Field(
        None, description="Split of the source to train on. Empty: the one named train, else all rows not held out."
    )
    eval_split: OptionalText = Field(
        None,
        description="Split of the source to evaluate on. Empty: validation, else test, where the source has them.",
    )
    split_column: OptionalText = Field(
        None, description="Column that says which split a row belongs to; takes the place of the source's splits."
    )
    eval_path: OptionalText = Field(None, description="A separate file for evaluation. Overrides every other split.")
    eval_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Share of the rows held out where the source has no evaluation split. 0: none.",
    )
    eval_rows: int | None = Field(
        None, ge=1, description="Hold out this many rows instead of a share; also limits a split of the source."
    )
    group_near_duplicates: bool = Field(
        True, description="Keep near-duplicates on one side of the split, so that held-out rows are really unseen."
    )
    max_rows: int | None = Field(None, ge=1, description="Train on at most this many rows, drawn with the seed.")

    @model_validator(mode="after")
    def _columns_or_mapping(self) -> Self:
        named = (self.prompt_column, self.completion_column)
        if self.mapping is not None and any(named):
            raise ValueError("mapping and prompt_column or completion_column say the same thing. Give one of them.")
        if any(named) and not all(named):
            missing = "prompt_column" if self.prompt_column is None else "completion_column"
            raise ValueError(f"only one of the two columns is named. Give dataset.{missing} too.")
        return self

    @property
    def chosen_mapping(self) -> Mapping | None:
        """The mapping that the user chose, or None when it is to be recognised."""
        if self.prompt_column is None or self.completion_column is None:
            return self.mapping
        return Mapping(
            format="prompt_completion",
            prompt=(ColumnPart(column=self.prompt_column),),
            completion=(ColumnPart(column=self.completion_column),),
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


class ImportJobConfig(Config):
    """Everything needed to bring one data set in."""

    kind: Literal["import"] = "import"
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] = Field(
        description="Name of the data set in the studio."
    )
    source: Text = Field(description="A file or folder, a Hugging Face id, or an address: https, s3 or gs.")
    file_name: OptionalText = Field(None, description="What an uploaded file was called on the user's machine.")
    subset: OptionalText = Field(None, description="Configuration of a Hub data set; empty for the default.")
    splits: tuple[Text, ...] = Field((), description="Splits of a Hub data set; empty for all of them.")
    revision: Text = Field("main", description="Branch, tag or commit of a Hub data set.")
    max_rows: int | None = Field(None, ge=1, description="Read only the first rows, without downloading the rest.")
    mapping: Annotated[Mapping | None, BeforeValidator(_parse_json)] = Field(
        None, description="How the columns become examples. Empty: recognised from the rows."
    )
    description: str = Field("", max_length=2000, description="What the data set is, for those who look for it.")
    tags: tuple[Text, ...] = Field((), max_length=20, description="Words to find the data set by.")
    delete_source: bool = Field(False, description="Remove the source file after it was read; for uploads.")


class AugmentJobConfig(Config):
    """Everything needed to make further training rows for a data set; they wait for a review."""

    kind: Literal["augment"] = "augment"
    name: Text = Field(description="Name of the data set that the rows are for.")
    dataset: Text = Field(description="Folder of the imported data set. Only its training rows are used.")
    augmentation: Augmentation = Field(description="How rows are made.")
    preview: bool = Field(False, description="Make ten rows to look at and estimate the cost, instead of all.")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of everything that is drawn.")


AnyJobConfig = FineTuneJobConfig | ImportJobConfig | AugmentJobConfig
JobConfig = Annotated[
    Annotated[FineTuneJobConfig, Tag("train")]
    | Annotated[ImportJobConfig, Tag("import")]
    | Annotated[AugmentJobConfig, Tag("augment")],
    Discriminator(_kind_of),
]
