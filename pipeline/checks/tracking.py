"""Checks of the trackers."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, warning
from pipeline.config import FineTuneJobConfig
from pipeline.trackers import TRACKERS, chosen_trackers, missing_tracker_package

_WANDB_KEY = "WANDB_API_KEY"


def check_trackers(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The libraries of the chosen trackers are installed. Without one the run goes on, so it is a warning."""
    findings = []
    for name in chosen_trackers(config.tracking):
        command, title = missing_tracker_package(name), TRACKERS[name].title
        if command is not None:
            message = f"{title} is not installed, so the run's values stay here. Run {command}, or switch it off."
            fix = Fix(label=f"Without {title}", patch={f"tracking.{name}": False})
            findings.append(warning("tracker_missing", f"tracking.{name}", message, fix))
    return findings


def check_tracker_key(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Weights & Biases has a key. Without one the values are kept in files, so it is a warning."""
    tracking = config.tracking
    if not tracking.wandb or tracking.wandb_offline or facts.keys is None or _WANDB_KEY in facts.keys:
        return []
    message = (
        f"There is no {_WANDB_KEY}, so the values for Weights & Biases stay in files here. Save the key on the "
        "Settings page, or keep the files on purpose."
    )
    fix = Fix(label="Keep the files here", patch={"tracking.wandb_offline": True})
    return [warning("wandb_without_key", "tracking.wandb", message, fix)]
