"""Checks of where the results go: whether they can be written, how long they stay, and what is there already."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, error, info, warning
from pipeline.config import FineTuneJobConfig


def check_output_folder(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The folder of the runs can be written, and outlives a restart."""
    if not facts.output_is_writable:
        message = f"Nothing can be written to {facts.output_dir}. Change its permissions, or set LAPIDARY_HOME."
        return [error("output_not_writable", "name", message)]
    if facts.output_is_ephemeral:
        message = (
            "This Space has no storage of its own, so runs and their results are lost when it sleeps or restarts. "
            "Attach storage at /data, or download the result as soon as the run is done."
        )
        return [warning("output_is_lost", "name", message)]
    return []


def check_output_name(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Another result of the same name is not overwritten, and may be confused with the new one."""
    others = facts.runs_of_same_name
    if not others:
        return []
    seen = "is a run" if others == 1 else f"are {others:,} runs"
    message = f"There {seen} called {config.name} already. Nothing is overwritten; another name tells them apart."
    return [info("name_taken", "name", message)]
