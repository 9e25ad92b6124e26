"""Checks of the terms of the base model: whether it may be read, and under which licence."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, error, info
from pipeline.config import FineTuneJobConfig

_FIELD = "model.base_model"
# They ask for little more than the author's name; of others something should be known before a result is shared.
_PERMISSIVE = ("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "cc-by-4.0", "unlicense")


def check_gated(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """A gated model that has to be fetched meets a token."""
    if facts.known_model is None or not facts.known_model.is_gated or facts.keys is None or "HF_TOKEN" in facts.keys:
        return []
    name = config.model.base_model
    is_here = name in facts.cached_models if facts.model is None else facts.model.weights_bytes > 0
    if is_here:
        return []
    message = (
        f"{name} is gated, and there is no Hugging Face token to fetch it with. Accept its licence at "
        f"https://huggingface.co/{name} and give a token of that account as HF_TOKEN, on the Settings page or in "
        "the environment."
    )
    return [error("gated_without_token", _FIELD, message)]


def check_licence(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """A licence that asks for more than to be named is named before the run."""
    told = facts.model.licence if facts.model is not None else None
    licence = facts.known_model.licence if facts.known_model is not None else told
    if licence is None or licence.lower() in _PERMISSIVE:
        return []
    message = (
        f"{config.model.base_model} is given under the licence {licence}, which holds for what is made from it too. "
        "Read its terms before you share or sell the result."
    )
    return [info("licence_terms", _FIELD, message)]
