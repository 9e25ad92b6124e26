"""The settings of a run in the words of TRL and PEFT, as the arguments of a script."""

from typing import Any

from pipeline.config import FineTuneJobConfig, LoraConfig
from pipeline.method_config import DpoConfig, KtoConfig, OrpoConfig, RewardModelConfig
from pipeline.reproduce.run_facts import RunFacts

# Attention implementations that keep packed rows apart, as in `pipeline/methods/sft.py`.
_VARLEN_ATTENTION = ("flash_attention_2", "flash_attention_3")


def batching_of(config: FineTuneJobConfig, facts: RunFacts) -> str:
    """How rows became batches: packed, grouped, or random."""
    wanted = config.training.batching
    match config.method.kind:
        case "sft" | "cpt" if wanted == "auto":
            return "packed" if facts.attention in _VARLEN_ATTENTION else "grouped"
        case "kto":
            return "grouped" if wanted == "grouped" else "random"
        case _:
            return "grouped" if wanted == "auto" else wanted


def training_arguments(config: FineTuneJobConfig, facts: RunFacts) -> dict[str, Any]:
    """Arguments of TRL's configuration that every method has. What only watches a run is left out."""
    training = config.training
    recomputed = {"gradient_checkpointing_kwargs": {"use_reentrant": False}}
    length = {"num_train_epochs": training.epochs} if training.max_steps is None else {"max_steps": training.max_steps}
    return {
        **length,
        "learning_rate": training.learning_rate,
        "per_device_train_batch_size": training.per_device_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "lr_scheduler_type": training.lr_scheduler,
        "warmup_steps": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optim": training.optimizer,
        "max_length": facts.max_length,
        "gradient_checkpointing": training.gradient_checkpointing,
        **(recomputed if training.gradient_checkpointing else {}),
        "bf16": facts.precision == "bf16",
        "fp16": facts.precision == "fp16",
        **({"use_cpu": True} if facts.device == "cpu" else {}),
        "logging_steps": training.logging_steps,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
    }


def method_arguments(config: FineTuneJobConfig, facts: RunFacts) -> dict[str, Any]:
    """Arguments of TRL's configuration that belong to the method."""
    method = config.method
    dropout = {"disable_dropout": False} if drops_inputs(config) else {}
    match method:
        case DpoConfig():
            return {
                "beta": method.beta,
                "loss_type": method.loss_type,
                "label_smoothing": method.label_smoothing,
                **({"precompute_ref_log_probs": True} if config.tuning.kind == "full" else {}),
                **dropout,
            }
        case OrpoConfig():
            return {"beta": method.beta, "remove_unused_columns": False, **dropout}
        case KtoConfig():
            return {
                "beta": method.beta,
                "desirable_weight": method.desirable_weight,
                "undesirable_weight": method.undesirable_weight,
                **dropout,
            }
        case RewardModelConfig():
            return {"center_rewards_coefficient": method.center_rewards_coefficient, **dropout}
        case _:
            return _supervised(config, facts)


def _supervised(config: FineTuneJobConfig, facts: RunFacts) -> dict[str, Any]:
    # The loss of the tokens alone, and never all logits at once.
    loss = {"loss_type": "chunked_nll", "router_aux_loss_coef": 0.0}
    return loss | ({"packing": True} if batching_of(config, facts) == "packed" else {})


def drops_inputs(config: FineTuneJobConfig) -> bool:
    """Whether the adapter has dropout of its own."""
    return isinstance(config.tuning, LoraConfig) and config.tuning.dropout > 0


def drops_in_16_bit(config: FineTuneJobConfig, facts: RunFacts) -> bool:
    """Whether PEFT's widening of what goes into an adapter would show in the losses."""
    return facts.precision != "fp32" and drops_inputs(config)


def copies_reference(config: FineTuneJobConfig) -> bool:
    """Whether the model before training is kept as a copy, which only KTO needs and only for a full fine-tune."""
    return config.method.kind == "kto" and config.tuning.kind == "full"


def adapter_arguments(config: FineTuneJobConfig, adapter: dict[str, Any]) -> dict[str, Any]:
    """Arguments of PEFT's LoraConfig; `adapter` is the file that PEFT wrote beside the run's weights."""
    tuning = config.tuning
    targets = adapter["target_modules"]
    chosen = {
        "task_type": adapter["task_type"],
        "r": adapter["r"],
        "lora_alpha": adapter["lora_alpha"],
        "lora_dropout": adapter["lora_dropout"],
        "target_modules": targets if isinstance(targets, str) else sorted(targets),
    }
    optional = {name: adapter.get(name) for name in ("use_rslora", "use_dora", "fan_in_fan_out")}
    if tuning.train_embeddings:
        optional |= {name: adapter.get(name) for name in ("modules_to_save", "ensure_weight_tying")}
    return chosen | {name: value for name, value in optional.items() if value}
