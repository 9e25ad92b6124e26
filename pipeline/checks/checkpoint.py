"""Checks of the kind of checkpoint: quantized, of an unknown architecture, with code or layers of its own."""

import re

from pipeline.checks.architectures import known_model_types, text_architectures
from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
from pipeline.checks.lora_targets import layers_of
from pipeline.config import FineTuneJobConfig, LoraConfig
from pipeline.errors import ModelUnavailable
from pipeline.providers.model_address import HubModel, source_of

_FIELD = "model.base_model"
_ALL_LINEAR = "all-linear"
# Words at the end of a repository's name by which those who upload quantized weights say so.
_QUANTIZED_NAME = re.compile(
    r"[-_.](?P<how>gguf|awq|gptq|exl2|exl3|mlx|bnb|hqq|aqlm|eetq|nf4|fp8|int4|int8|w4a16|w8a8|4bit|8bit)"
    r"(?:[-_.](?:awq|gptq|marlin|dynamic|[248]-?bits?|int[48]|g?\d+|[iq]?q\d\w*|imatrix|v\d+))*$",
    re.IGNORECASE,
)
# What else such a name has and the original's has not.
_BYWORDS = re.compile(r"(?:[-_.](?:qat|unsloth|i1|q\d_\w+|[248]bit))+$", re.IGNORECASE)
# Those who quantize the models of others under their own name.
_REPUBLISHERS = ("TheBloke", "bartowski", "mradermacher", "lmstudio-community", "mlx-community", "QuantFactory")
_RUN_ONLY = ("gguf", "exl2", "exl3", "mlx")


def check_quantized_name(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """A repository that is not here is none of quantized weights, as far as its name tells."""
    repository = _repository(config)
    found = None if repository is None or facts.model is not None else _QUANTIZED_NAME.search(repository)
    if repository is None or found is None:
        return []
    where, how = _original(_BYWORDS.sub("", repository[: found.start()])), found["how"]
    if how.lower() in _RUN_ONLY:
        message = f"{repository} is named as a copy for running a model ({how}), which cannot be trained on."
        return [error("model_quantized_by_name", _FIELD, f"{message} {where}")]
    message = f"{repository} is named as a quantized copy ({how}), and such weights cannot be trained on."
    return [warning("model_quantized_by_name", _FIELD, f"{message} {where} model.quantization keeps it small.")]


def check_architecture(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """transformers has a class for the model that writes text, or may run the model's own."""
    if facts.model is None or not facts.model.model_type:
        return []
    name, model_type = config.model.base_model, facts.model.model_type
    brings_code = "auto_map" in facts.model.config
    if (known := known_model_types()) and model_type not in known:
        if brings_code and config.model.trust_remote_code:
            return []
        if brings_code:
            message = (
                f"{name} needs Python code of its own repository. If you trust it, turn model.trust_remote_code on; "
                "otherwise choose another model."
            )
            # No fix of one click: whether code is trusted is to be decided by a person.
            return [error("remote_code_needed", "model.trust_remote_code", message)]
        message = (
            f"{name} is of the architecture {model_type}, which the installed transformers does not know. Choose "
            "another model."
        )
        return [error("architecture_unknown", _FIELD, message)]
    saved_as = facts.model.config.get("architectures")
    can_train = text_architectures(scores=config.method.kind == "reward")
    if brings_code or not can_train or not isinstance(saved_as, list) or not saved_as or can_train & set(saved_as):
        return []
    message = (
        f"{name} was saved as {saved_as[0]}, which has no head that writes text. Choose a model for text generation, "
        "such as google/gemma-3-1b-it."
    )
    return [error("architecture_without_text", _FIELD, message)]


def check_lora_targets(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The layers that are named for the adapter exist, where the architecture is one whose layers are known."""
    if not isinstance(config.tuning, LoraConfig) or config.tuning.target_modules == _ALL_LINEAR or facts.model is None:
        return []
    known = layers_of(facts.model)
    names = [name.strip() for name in config.tuning.target_modules.split(",") if name.strip()]
    unknown = [name for name in names if name.rpartition(".")[2] not in known]
    if not known or not unknown:
        return []
    message = (
        f"No layer is called {', '.join(unknown)} in this model. Use {_ALL_LINEAR}, or some of: {', '.join(known)}."
    )
    fix = Fix(label="Adapt all layers", patch={"tuning.target_modules": _ALL_LINEAR})
    return [error("no_such_layers", "tuning.target_modules", message, fix)]


def _repository(config: FineTuneJobConfig) -> str | None:
    try:
        source = source_of(config.model)
    except ModelUnavailable:
        return None
    return source.id if isinstance(source, HubModel) else None


def _original(name: str) -> str:
    """Where the whole weights may be: under the same name without the word, unless they are somebody else's."""
    owner, _, model = name.partition("/")
    if owner in _REPUBLISHERS:
        return f"Choose the 16-bit model that it was made from, whose name is like {model}."
    return f"Choose the 16-bit model that it was made from, perhaps {name}."
