"""Configuration classes of the training loop, of what is looked at while it runs, and of where its values go."""

from typing import Literal, cast, get_args

from pydantic import Field, field_validator

from pipeline.config_base import Config, Text
from pipeline.method_config import DEFAULT_LEARNING_RATE

MetricName = Literal["exact_match", "f1", "rouge", "bleu", "chrf", "json"]
METRIC_NAMES: tuple[MetricName, ...] = get_args(MetricName)


class TrainingConfig(Config):
    """How the optimiser walks."""

    epochs: float = Field(3.0, gt=0, le=1000, description="How often each row is seen.")
    max_steps: int | None = Field(
        None, ge=1, le=10_000_000, description="Stop after this many steps, before the epochs end."
    )
    learning_rate: float = Field(
        DEFAULT_LEARNING_RATE["sft"]["lora"],
        gt=0,
        le=1,
        description="Peak learning rate. The default follows method and tuning: 2e-4 for LoRA, 2e-5 for full, less "
        "for preference methods.",
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


class EvaluationConfig(Config):
    """What is looked at while and after the model learns."""

    samples: int = Field(
        4, ge=0, le=32, description="Held-out prompts that the model answers at each evaluation, always the same ones."
    )
    sample_tokens: int = Field(128, ge=1, le=4096, description="Longest answer to them, in tokens.")
    keep_best: bool = Field(
        False,
        description="End with the weights of the best evaluation instead of the last step's. Checkpoints are then "
        "written when the held-out rows are scored.",
    )
    early_stopping: int | None = Field(
        None, ge=1, le=1000, description="Stop after this many evaluations without a better one. Empty: never."
    )
    score_rows: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Held-out rows that the base and the tuned model answer after training, to be scored. 0: none.",
    )
    metrics: Text = Field(
        "auto",
        description="Scores of those answers, separated by commas: exact_match, f1, rouge, bleu, chrf, json. Auto "
        "chooses by the right answers.",
    )

    @property
    def metric_names(self) -> tuple[MetricName, ...]:
        """The scores that were chosen; none where they are to be chosen by the right answers."""
        names = dict.fromkeys(name.strip() for name in self.metrics.split(",") if name.strip())
        return () if set(names) == {"auto"} else tuple(cast(MetricName, name) for name in names)

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        unknown = [name for name in names if name not in METRIC_NAMES and names != ["auto"]]
        if unknown:
            raise ValueError(
                f"has no score called {unknown[0]!r}. Use auto alone, or some of: {', '.join(METRIC_NAMES)}."
            )
        return value


class TrackingConfig(Config):
    """Where the values of the run are sent besides the studio. A failing tracker never harms the run."""

    wandb: bool = Field(False, description="Weights & Biases; the key is the secret WANDB_API_KEY.")
    trackio: bool = Field(False, description="Trackio, a local dashboard.")
    tensorboard: bool = Field(False, description="TensorBoard files in the run folder.")
    # The characters that a project of Weights & Biases may not have.
    project: Text = Field(
        "lapidary",
        pattern=r"^[^/\\#?%:]+$",
        max_length=128,
        description="Project that the run is filed under. Slash, colon, #, ? and percent sign are not allowed.",
    )
    wandb_offline: bool = Field(False, description="Keep the Weights & Biases files here; send them later by hand.")
    wait_seconds: int = Field(
        30, ge=1, le=3600, description="Longest wait for the trackers when the run is done, in seconds."
    )
