"""The tables of a model card about its run: data, settings, results, and scores before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config_fields import config_fields
from pipeline.exporters.markdown_text import Markdown
from pipeline.exporters.run_facts import RunFacts
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import reward_names

Rows = list[tuple[object, ...]]
_FORMAT_WORDS = {
    "messages": "conversations",
    "prompt_completion": "prompts with their answers",
    "text": "plain text",
    "preference": "prompts with a chosen and a rejected answer",
    "unpaired_preference": "answers marked good or bad",
    "prompt_only": "prompts",
}
# Shown whatever they are; of the rest, what is not the default.
_USUAL = ("tuning.rank", "tuning.alpha", "tuning.dropout", "tuning.target_modules", "model.quantization")
_USUAL_TRAINING = (
    "learning_rate",
    "lr_scheduler",
    "warmup_ratio",
    "per_device_batch_size",
    "gradient_accumulation_steps",
    "optimizer",
    "weight_decay",
    "max_grad_norm",
    "seed",
)
_SECTIONS = ("model", "tuning", "method", "training", "evaluation")
# Places, names, and what does not change the weights.
_LEFT_OUT = (
    *(f"model.{name}" for name in ("base_model", "revision", "trust_remote_code", "allow_pickle")),
    *(f"training.{name}" for name in ("epochs", "logging_steps", "eval_strategy", "eval_steps")),
    *(f"training.{name}" for name in ("save_strategy", "save_steps", "save_total_limit")),
    *(f"evaluation.{name}" for name in ("samples", "sample_tokens", "score_rows", "metrics")),
    *("tuning.kind", "method.kind", "method.max_length", "model.precision", "model.attention"),
)
_WORDS_OF_METRICS = {
    "loss": "Loss",
    "reward": "Reward",
    "eval_loss": "Loss, held out",
    "eval_reward": "Reward, held out",
    "eval_perplexity": "Perplexity, held out",
    "eval_mean_token_accuracy": "Token accuracy, held out",
    "eval_rewards/accuracies": "Chosen over rejected, held out",
}


def data_table(facts: RunFacts) -> Rows:
    """What was learned from."""
    data, rows = facts.data, facts.rows
    table: Rows = [("Name", data.name)]
    if data.format is not None:
        images = " with images" if data.has_images else ""
        table.append(("Format", f"{_FORMAT_WORDS[data.format]}{images}"))
    if rows is not None:
        cut = f"; {rows.truncated_rows:,} longer ones were cut" if rows.truncated_rows else ""
        table += [
            ("Rows trained on", f"{rows.train_rows:,}"),
            ("Rows held out", f"{rows.eval_rows:,}"),
            ("Tokens in an epoch", f"{rows.tokens:,}, of which {rows.trained_tokens:,} are trained on"),
            ("Longest row", f"{rows.max_length:,} tokens{cut}"),
        ]
    if data.evaluation_name is not None:
        table.append(("Held-out data", data.evaluation_name))
    table.append(("Fingerprint (SHA-256 of the rows)", _code(data.checksum)))
    if data.evaluation_checksum is not None:
        table.append(("Fingerprint of the held-out data", _code(data.evaluation_checksum)))
    return table


def settings_table(facts: RunFacts) -> Rows:
    """How it was trained: the usual settings, and those that are not the defaults."""
    values = dict(_flat(facts.config.model_dump()))
    if isinstance(facts.config.method, GrpoConfig):
        # Their names only: some have a path or an address.
        values["method.rewards"] = ", ".join(reward_names(facts.config.method.rewards))
    usual = (*_USUAL, *(f"training.{name}" for name in _USUAL_TRAINING))
    table: Rows = []
    if facts.model is not None:
        table.append(("Number format", facts.model.precision))
    for field in config_fields():
        is_ours = field.path.startswith(tuple(f"{section}." for section in _SECTIONS))
        if field.path not in values or field.path in _LEFT_OUT or not is_ours:
            continue
        value = values[field.path]
        if field.path in usual or field.path.startswith("method.") or value != field.default:
            table.append((field.label, _shown(value)))
    return table


def result_table(facts: RunFacts) -> Rows:
    """What came of the training at the step of the weights."""
    table: Rows = []
    if facts.step is not None and facts.epochs is not None:
        of = f" of {facts.steps:,}" if facts.steps != facts.step else ""
        table += [("Optimiser steps", f"{facts.step:,}{of}"), ("Epochs", f"{facts.epochs:.4g}")]
    for name, label in _WORDS_OF_METRICS.items():
        if name in facts.metrics:
            table.append((label, f"{facts.metrics[name]:.4g}"))
    if facts.model is not None:
        table.append(("Trained weights", f"{facts.model.trainable_parameters:,} of {facts.model.parameters:,}"))
    if facts.seconds is not None:
        table.append(("Time of training", _duration(facts.seconds)))
    if facts.device is not None:
        table.append(("Device", facts.device))
    if facts.started is not None:
        table.append(("Date", f"{facts.started:%Y-%m-%d}"))
    return table


def score_table(facts: RunFacts) -> Rows:
    """Scores of the base and of the tuned model; empty where nothing was scored."""
    scores = facts.scores
    if scores is None:
        return []
    return [
        (name.replace("_", " "), f"{scores.base[name]:.1f}", f"{tuned:.1f}")
        for name, tuned in scores.tuned.items()
        if name in scores.base
    ]


def _code(text: str | None) -> object:
    return "not known" if text is None else Markdown(f"`{text}`")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest if hours == 0 else 0, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "under 1 s"
