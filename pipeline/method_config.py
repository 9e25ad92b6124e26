"""Configuration classes of the training methods, one a kind; `pipeline/methods/<kind>.py` carries it out."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config_base import Config, parse_json
from pipeline.data.example import Format
from pipeline.reward_config import Reward, reward_names


def _listed(value: object) -> object:
    parsed = parse_json(value)
    return () if parsed is None else parsed


MaxLength = Annotated[
    int | None,
    Field(
        ge=8,
        le=1_048_576,
        description="Longest row in tokens; longer ones are cut, read in pieces in continued pre-training, or left out "
        "where a reward model would score a part. Empty: from the data, capped by the model's context.",
    ),
]


class SftConfig(Config):
    """Supervised fine-tuning on example answers."""

    kind: Literal["sft"] = "sft"
    train_on: Literal["assistant", "all"] = Field(
        "assistant", description="Tokens the loss is taken on: the assistant's answers, or the whole conversation."
    )
    max_length: MaxLength = None


class CptConfig(Config):
    """Continued pre-training: predict every token of plain text, long texts in pieces so that nothing is cut off."""

    kind: Literal["cpt"] = "cpt"
    max_length: MaxLength = None


class DpoConfig(Config):
    """Direct preference optimisation: prefer the chosen to the rejected answer (Rafailov et al., arXiv:2305.18290)."""

    kind: Literal["dpo"] = "dpo"
    beta: float = Field(
        0.1, gt=0, le=100, description="How strongly the model is held to where it started; higher holds it more."
    )
    loss_type: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero", "apo_down"] = Field(
        "sigmoid", description="Form of the preference loss. Sigmoid is DPO as published; ipo resists overfitting."
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Share of the pairs that are expected to be the wrong way round. For the loss type robust.",
    )
    max_length: MaxLength = None


class OrpoConfig(Config):
    """Odds-ratio preference optimisation: learn the chosen answer and the preference at once, with no reference model
    (Hong et al., arXiv:2403.07691)."""

    kind: Literal["orpo"] = "orpo"
    beta: float = Field(0.1, gt=0, le=100, description="Weight of the odds-ratio term beside the loss on the answer.")
    max_length: MaxLength = None


class KtoConfig(Config):
    """Kahneman-Tversky optimisation: learn from answers marked good or bad (Ethayarajh et al., arXiv:2402.01306)."""

    kind: Literal["kto"] = "kto"
    beta: float = Field(
        0.1, gt=0, le=100, description="How strongly the model is held to where it started; higher holds it more."
    )
    desirable_weight: float = Field(1.0, gt=0, le=100, description="Weight of the answers marked good.")
    undesirable_weight: float = Field(1.0, gt=0, le=100, description="Weight of the answers marked bad.")
    max_length: MaxLength = None


class RewardModelConfig(Config):
    """Reward model: learn to score answers from pairs (Ouyang et al., arXiv:2203.02155)."""

    kind: Literal["reward"] = "reward"
    center_rewards_coefficient: float | None = Field(
        None, gt=0, le=1, description="Pull of the scores' mean towards zero, such as 0.01. Empty: none."
    )
    max_length: MaxLength = None


class GrpoConfig(Config):
    """Group relative policy optimisation: learn from rewards for sampled answers (Shao et al., arXiv:2402.03300)."""

    kind: Literal["grpo"] = "grpo"
    rewards: Annotated[tuple[Reward, ...], BeforeValidator(_listed)] = Field(
        (), description="What earns a reward, as a JSON list; each with a kind and a weight."
    )
    num_generations: int = Field(8, ge=2, le=256, description="Answers sampled for each prompt and compared.")
    max_completion_length: int = Field(256, ge=1, le=131_072, description="Longest sampled answer in tokens.")
    temperature: float = Field(1.0, gt=0, le=10, description="Temperature at which answers are sampled.")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample from the likeliest tokens that together have this share.")
    kl_coefficient: float = Field(
        0.0, ge=0, le=10, description="How strongly the model is held to where it started. 0: not, and no reference."
    )
    policy_loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = Field(
        "dapo", description="How token losses are averaged. Dapo weighs every token of the batch the same."
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group", description="What the rewards are divided by: the spread among a prompt's answers, the batch's, or 1."
    )
    num_iterations: int = Field(1, ge=1, le=64, description="Updates made from each sampled batch.")

    @property
    def max_length(self) -> None:
        """Prompts are never cut."""
        return None

    @model_validator(mode="after")
    def _something_is_rewarded(self) -> Self:
        if not self.rewards:
            raise ValueError(
                'needs at least one reward, such as [{"kind": "exact_match", "column": "answer"}]; without one there '
                "is nothing to learn."
            )
        reward_names(self.rewards)
        return self


Method = Annotated[
    SftConfig | CptConfig | DpoConfig | OrpoConfig | KtoConfig | GrpoConfig | RewardModelConfig,
    Field(discriminator="kind"),
]
MethodKind = Literal["sft", "cpt", "dpo", "orpo", "kto", "grpo", "reward"]

FORMATS: dict[MethodKind, tuple[Format, ...]] = {
    "sft": ("messages", "prompt_completion", "text"),
    "cpt": ("text",),
    "dpo": ("preference",),
    "orpo": ("preference",),
    "kto": ("unpaired_preference", "preference"),
    "grpo": ("prompt_only", "messages", "prompt_completion"),
    "reward": ("preference",),
}
"""The formats of rows that each method learns from."""

METHOD_NAMES: dict[MethodKind, str] = {
    "sft": "supervised fine-tuning",
    "cpt": "continued pre-training",
    "dpo": "DPO",
    "orpo": "ORPO",
    "kto": "KTO",
    "grpo": "GRPO",
    "reward": "a reward model",
}

METHOD_LABELS: dict[MethodKind, str] = {
    "sft": "SFT",
    "cpt": "Continued pre-training",
    "dpo": "DPO",
    "orpo": "ORPO",
    "kto": "KTO",
    "grpo": "GRPO",
    "reward": "Reward model",
}

# LoRA takes about ten times the rate of a full fine-tune (Biderman et al. 2024, arXiv:2405.09673). Preference methods
# start from a model that already answers and take a tenth of that: DPO's paper has 1e-6, KTO's 5e-7, ORPO's 8e-6.
DEFAULT_LEARNING_RATE: dict[MethodKind, dict[str, float]] = {
    "sft": {"lora": 2e-4, "full": 2e-5},
    "cpt": {"lora": 1e-4, "full": 1e-5},
    "dpo": {"lora": 1e-5, "full": 1e-6},
    "orpo": {"lora": 8e-5, "full": 8e-6},
    "kto": {"lora": 1e-5, "full": 1e-6},
    "grpo": {"lora": 1e-5, "full": 1e-6},
    "reward": {"lora": 1e-4, "full": 1e-5},
}


_ROWS_NEEDED: dict[MethodKind, str] = {
    "sft": "a question and an answer, conversations, or text",
    "cpt": "plain text",
    "dpo": "a chosen and a rejected answer to each prompt",
    "orpo": "a chosen and a rejected answer to each prompt",
    "kto": "an answer and whether it is good",
    "grpo": "prompts",
    "reward": "a chosen and a rejected answer to each prompt",
}


def method_for_format(current: MethodKind, found: Format) -> MethodKind:
    """The method for rows of the format `found`: the current one where it learns from them, else the usual one."""
    return current if found in FORMATS[current] else next(kind for kind, formats in FORMATS.items() if found in formats)


def default_learning_rate(method: MethodKind, tuning: str, current: float) -> float:
    """The default for the kinds where `current` is the default of other kinds; else `current`, which was chosen."""
    defaults = {rate for rates in DEFAULT_LEARNING_RATE.values() for rate in rates.values()}
    return DEFAULT_LEARNING_RATE[method][tuning] if current in defaults else current


def format_problem(kind: MethodKind, found: Format) -> str | None:
    """Why rows of the format `found` cannot train this method, and what to do; None where they can."""
    if found in FORMATS[kind]:
        return None
    fitting = [METHOD_NAMES[other] for other, formats in FORMATS.items() if found in formats]
    return (
        f"its rows are of the format {found}, and {METHOD_NAMES[kind]} learns from {_ROWS_NEEDED[kind]}. "
        f"Name the columns that hold them, or choose {' or '.join(fitting)}."
    )
