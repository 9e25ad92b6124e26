"""What is wrong with a model that opens and cannot be trained for the task: another kind of network, missing parts."""

from collections.abc import Collection, Iterable

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from pipeline.errors import ModelUnavailable
from pipeline.providers import Task
from pipeline.providers.target_modules import score_heads

_SHOWN_WEIGHTS = 3


def require_architecture(config: PreTrainedConfig, *, task: Task, name: str) -> None:
    """Raise ModelUnavailable where the checkpoint was not saved as a network that writes text.

    A reward model may also start from one that scores it. What brings its own code is believed.
    """
    known = _class_names(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) | _class_names(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    if task == "seq_cls":
        known |= _class_names(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    saved_as = config.architectures
    if not saved_as or "auto_map" in config.to_dict() or any(architecture in known for architecture in saved_as):
        return
    raise ModelUnavailable(
        f"{name} was saved as {saved_as[0]}, which has no head that writes text. Choose a model for text generation, "
        "such as google/gemma-3-1b-it."
    )


def require_weights(model: PreTrainedModel, missing: Collection[str], *, name: str) -> None:
    """Raise ModelUnavailable where weights were not in the files; those of a new score head never are."""
    heads = {id(part) for part in score_heads(model)} if model.get_output_embeddings() is None else set()
    new = [part_name for part_name, part in model.named_modules() if id(part) in heads]
    lost = sorted(key for key in missing if not any(key.startswith(f"{part}.") for part in new))
    if not lost:
        return
    shown = ", ".join(lost[:_SHOWN_WEIGHTS]) + (
        f" and {len(lost) - _SHOWN_WEIGHTS} more" if lost[_SHOWN_WEIGHTS:] else ""
    )
    raise ModelUnavailable(
        f"{name} lacks weights that its config.json promises ({shown}), and they would start at random. Choose a whole "
        "model."
    )


def _class_names(mapping: dict[str, str | Iterable[str]]) -> set[str]:
    """Class names of one of transformers' tables; where it has several for a model type, all of them."""
    return {name for value in mapping.values() for name in ((value,) if isinstance(value, str) else value)}
