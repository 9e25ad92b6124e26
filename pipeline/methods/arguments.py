"""The training arguments that all methods share: our configuration in transformers' words."""

from pathlib import Path
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.evaluation.best_metric import best_metric
from pipeline.model_manager import LoadedModel


def shared_arguments(
    config: FineTuneJobConfig, loaded: LoadedModel, *, output_dir: Path, evaluate: bool
) -> dict[str, Any]:
    """Keyword arguments of every TRL configuration class. `evaluate`: whether there are held-out rows."""
    training, evaluation = config.training, config.evaluation
    evaluates = evaluate and training.eval_strategy != "no"
    keep_best = evaluates and evaluation.keep_best
    best = best_metric(config.method.kind)
    return {
        "output_dir": str(output_dir),
        "run_name": config.name,
        "num_train_epochs": training.epochs,
        "max_steps": -1 if training.max_steps is None else training.max_steps,
        "learning_rate": training.learning_rate,
        "per_device_train_batch_size": training.per_device_batch_size,
        "per_device_eval_batch_size": training.per_device_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "lr_scheduler_type": training.lr_scheduler,
        "warmup_steps": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optim": training.optimizer,
        "gradient_checkpointing": training.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": training.logging_steps,
        "logging_nan_inf_filter": False,
        "eval_strategy": training.eval_strategy if evaluates else "no",
        "eval_steps": training.eval_steps,
        # Weights that no checkpoint holds cannot be gone back to.
        "save_strategy": training.eval_strategy if keep_best else training.save_strategy,
        "save_steps": training.eval_steps if keep_best else training.save_steps,
        "save_total_limit": training.save_total_limit,
        "load_best_model_at_end": keep_best,
        "metric_for_best_model": best.name if keep_best else None,
        "greater_is_better": best.higher_is_better if keep_best else None,
        "seed": training.seed,
        "data_seed": training.seed,
        "bf16": loaded.precision == "bf16",
        "fp16": loaded.precision == "fp16",
        "use_cpu": loaded.device.type == "cpu",
        "dataloader_pin_memory": loaded.device.type == "cuda",
        "disable_tqdm": True,
        "report_to": "none",
    }
