"""What of a run's configuration has to be written down: what differs from the defaults, and what names the run."""

from typing import Any

from pydantic import BaseModel

from pipeline.config import FineTuneJobConfig


def chosen_settings(config: FineTuneJobConfig) -> dict[str, Any]:
    """The document, in plain types, from which `parse_job_config` makes an equal configuration.

    It has the settings that differ from their defaults. Model, data set, name, learning rate and seed are always there.
    """
    document = {"name": config.name, **_differing(config)}
    document.pop("kind")
    # Its default follows from method and tuning, and a seed is what one looks for first.
    always = {"learning_rate": config.training.learning_rate, "seed": config.training.seed}
    document["training"] = document.get("training", {}) | always
    return document


def _differing(model: BaseModel) -> dict[str, Any]:
    """The fields that are required or not at their default; the kind of a variant is always among them."""
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        default = info.get_default(call_default_factory=True)
        if name == "kind" or info.is_required() or value != default:
            found[name] = _plain(model, name, value)
    return found


def _plain(model: BaseModel, name: str, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _differing(value)
    if isinstance(value, tuple) and all(isinstance(item, BaseModel) for item in value):
        return [_differing(item) for item in value]
    return model.model_dump(mode="json", include={name})[name]
