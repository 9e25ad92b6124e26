"""Checks of the trackers."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix
from pipeline.config import FineTuneJobConfig
from pipeline.trackers import TRACKERS, chosen_trackers, missing_tracker_package


def check_trackers(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The libraries of the chosen trackers are installed. Without one the run goes on, so it is a warning."""
    findings = []
    for name in chosen_trackers(config.tracking):
        command, title = missing_tracker_package(name), TRACKERS[name].title
        if command is not None:
            message = f"{title} is not installed, so the run's values stay here. Run {command}, or switch it off."
            fix = Fix(label=f"Without {title}", patch={f"tracking.{name}": False})
            findings.append(
                Finding(
                    code="tracker_missing",
                    severity="warning",
                    field=f"tracking.{name}",
                    message=message,
                    fixes=(fix,),
                )
            )
    return findings
