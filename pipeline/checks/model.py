"""Checks of the base model."""

import re
from pathlib import Path

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import ModelUnavailable
from pipeline.method_config import GrpoConfig
from pipeline.providers.model_address import source_of
from pipeline.providers.model_files import local_files, needed_files

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


def check_base_model(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The folder holds a model with weights and a chat template; a Hub id looks like one."""
    name, field = config.model.base_model, "model.base_model"
    if "://" in name:
        return _check_address(config)
    if facts.model is None:
        if Path(name).is_absolute() or name.startswith((".", "~")):
            return [
                _error("model_not_found", field, f"{name} holds no config.json. Choose the folder of a saved model.")
            ]
        if not _HUB_ID.match(name):
            return [
                _error(
                    "model_unknown",
                    field,
                    f"{name!r} is neither a folder here nor a Hub id. A Hub id looks like google/gemma-3-1b-it.",
                )
            ]
        if name not in facts.cached_models:
            message = f"{name} is not on this machine yet; it is downloaded from the Hub when the run starts."
            return [Finding(code="model_download", severity="info", field=field, message=message)]
        return []
    try:
        needed_files(local_files(facts.model.path), config.model)
    except ModelUnavailable as error:
        code = "model_without_weights" if facts.model.weights_bytes == 0 else "model_not_trainable"
        return [_error(code, field, str(error))]
    conversation = isinstance(facts.data, Inspection) and facts.data.format != "text"
    if conversation and not facts.model.has_chat_template:
        return [
            _error(
                "no_chat_template",
                field,
                f"{name} has no chat template, so conversations cannot be rendered. "
                "Choose its instruction-tuned variant.",
            )
        ]
    return []


def _check_address(config: FineTuneJobConfig) -> list[Finding]:
    try:
        source = source_of(config.model)
        if isinstance(source, Path):
            needed_files(local_files(source), config.model)
            return []
    except ModelUnavailable as error:
        return [_error("model_unknown", "model.base_model", str(error))]
    message = f"{config.model.base_model} is looked for and fetched when the run starts."
    return [Finding(code="model_download", severity="info", field="model.base_model", message=message)]


def check_precision(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Gemma's activations exceed what fp16 can hold (65 504)."""
    model_type = "" if facts.model is None else str(facts.model.config["model_type"])
    is_gemma = "gemma" in model_type or "gemma" in config.model.base_model.lower()
    if config.model.precision == "fp16" and is_gemma:
        return [
            Finding(
                code="fp16_overflow",
                severity="error",
                field="model.precision",
                message="Gemma's activations overflow in fp16 and the loss becomes NaN. "
                "Use bf16, or fp32 where there is none.",
                fixes=(Fix(label="Use auto", patch={"model.precision": "auto"}),),
            )
        ]
    return []


def check_context_length(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Rows, and sampled answers, are no longer than the model reads."""
    context = None if facts.model is None else facts.model.context_length
    wanted = config.method.max_completion_length if isinstance(config.method, GrpoConfig) else config.method.max_length
    if context is None or wanted is None or wanted <= context:
        return []
    name = "max_completion_length" if isinstance(config.method, GrpoConfig) else "max_length"
    longest = context // 2 if name == "max_completion_length" else context
    return [
        Finding(
            code="longer_than_context",
            severity="error" if name == "max_completion_length" else "warning",
            field=f"method.{name}",
            message=f"{wanted:,} tokens are asked for and the model reads {context:,}. Use {longest:,} at most.",
            fixes=(Fix(label=f"Use {longest:,} tokens", patch={f"method.{name}": longest}),),
        )
    ]


def _error(code: str, field: str, message: str) -> Finding:
    return Finding(code=code, severity="error", field=field, message=message)
