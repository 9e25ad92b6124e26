"""Checks of the base model: whether it is here, whole, and reads what it is given."""

import re
from pathlib import Path

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, info, warning
from pipeline.checks.model_facts import ModelFacts
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import ModelUnavailable
from pipeline.method_config import GrpoConfig
from pipeline.providers.model_address import source_of
from pipeline.providers.model_files import local_files, needed_files, require_model

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_FIELD = "model.base_model"


def check_base_model(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The folder holds a model with weights and a chat template; a Hub id looks like one."""
    name = config.model.base_model
    if facts.model is not None and facts.model.is_hub_copy:
        return _check_hub_copy(config, facts.model, data=facts.data)
    if "://" in name:
        return _check_address(config)
    if facts.model is None:
        if Path(name).is_absolute() or name.startswith((".", "~")):
            return [
                error("model_not_found", _FIELD, f"{name} holds no config.json. Choose the folder of a saved model.")
            ]
        if not _HUB_ID.match(name):
            message = f"{name!r} is neither a folder here nor a Hub id. A Hub id looks like google/gemma-3-1b-it."
            return [error("model_unknown", _FIELD, message)]
        return [] if name in facts.cached_models else [_download(name)]
    try:
        needed_files(local_files(facts.model.path), config.model)
    except ModelUnavailable as problem:
        if facts.model.weights_bytes == 0:
            return [error("model_without_weights", _FIELD, str(problem))]
        return [error("model_not_trainable", _FIELD, str(problem))]
    if _are_conversations(facts.data) and not facts.model.has_chat_template:
        return [error("no_chat_template", _FIELD, _no_template(name))]
    return []


def _check_hub_copy(config: FineTuneJobConfig, model: ModelFacts, *, data: object) -> list[Finding]:
    """What can be said of a model whose files are partly here: the run fetches the others."""
    name = config.model.base_model
    try:
        require_model(local_files(model.path, name=name))
    except ModelUnavailable as problem:
        return [error("model_not_trainable", _FIELD, str(problem))]
    if model.weights_bytes == 0:
        return [_download(name)]
    has_tokenizer = (model.path / "tokenizer_config.json").is_file()
    if _are_conversations(data) and has_tokenizer and not model.has_chat_template:
        return [warning("no_chat_template", _FIELD, _no_template(name))]
    return []


def _check_address(config: FineTuneJobConfig) -> list[Finding]:
    try:
        source = source_of(config.model)
        if isinstance(source, Path):
            needed_files(local_files(source), config.model)
            return []
    except ModelUnavailable as problem:
        return [error("model_unknown", _FIELD, str(problem))]
    message = f"{config.model.base_model} is looked for and fetched when the run starts."
    return [info("model_download", _FIELD, message)]


def _download(name: str) -> Finding:
    message = f"{name} is not on this machine yet; it is downloaded from the Hub when the run starts."
    return info("model_download", _FIELD, message)


def _are_conversations(data: object) -> bool:
    return isinstance(data, Inspection) and data.format != "text"


def _no_template(name: str) -> str:
    return f"{name} has no chat template, so conversations cannot be rendered. Choose its instruction-tuned variant."


def check_context_length(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Rows, and sampled answers, are no longer than the model reads."""
    context = None if facts.model is None else facts.model.context_length
    method = config.method
    samples = isinstance(method, GrpoConfig)
    wanted = method.max_completion_length if isinstance(method, GrpoConfig) else method.max_length
    if context is None or wanted is None or wanted <= context:
        return []
    field = "method.max_completion_length" if samples else "method.max_length"
    longest = context // 2 if samples else context
    message = f"{wanted:,} tokens are asked for and the model reads {context:,}. Use {longest:,} at most."
    fix = Fix(label=f"Use {longest:,} tokens", patch={field: longest})
    if samples:
        return [error("longer_than_context", field, message, fix)]
    # Rows are cut at the context; an answer that does not fit cannot be sampled.
    return [warning("longer_than_context", field, message, fix)]
