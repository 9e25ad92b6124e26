"""The runs that no script on TRL alone can repeat, each with the reason."""

from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.providers.model_address import StoredModel, source_of


def refuse_unscriptable(config: FineTuneJobConfig) -> None:
    """Raise InvalidConfig where a script without Lapidary would do something else than the run."""
    problems = []
    if config.method.kind == "grpo":
        reason = "its rewards are computed by Lapidary, and TRL alone has none of them"
        problems.append(Problem("method.kind", f"{_NO_SCRIPT} {reason}. {_CURE}"))
    if config.model.provider == "unsloth":
        reason = "Unsloth replaces parts of the model and of TRL"
        problems.append(Problem("model.provider", f"{_NO_SCRIPT} {reason}. {_CURE}"))
    if isinstance(source_of(config.model), StoredModel):
        reason = "transformers cannot load its base model from a bucket"
        problems.append(
            Problem("model.base_model", f"{_NO_SCRIPT} {reason}. Copy the model to a folder and train from that.")
        )
    if problems:
        raise InvalidConfig(problems)


def no_images() -> InvalidConfig:
    """What is raised for a run whose rows have images."""
    reason = "its rows have images, which Lapidary reads and places itself"
    return InvalidConfig([Problem("dataset.path", f"{_NO_SCRIPT} {reason}. {_CURE}")])


_NO_SCRIPT = "No script on TRL alone can repeat this run:"
_CURE = "Repeat it with the YAML file or the command."
