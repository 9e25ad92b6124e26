"""Preflight: what a configuration would do, what it will need, and what is wrong with it."""

from dataclasses import dataclass

from pipeline.checks import run_checks
from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding
from pipeline.checks.schedule import total_steps
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.estimates import DeviceEstimate, Estimate


@dataclass(frozen=True)
class Preflight:
    """What is known of a configuration before it is started."""

    config: FineTuneJobConfig
    facts: Facts
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """Findings that forbid the start."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def estimate(self) -> Estimate | None:
        """What the run is predicted to need; None where nobody knows, or nobody asked."""
        return self.facts.estimate

    @property
    def dataset_name(self) -> str | None:
        """What people call the rows; None where nobody has looked at them yet."""
        return self.facts.data.name if isinstance(self.facts.data, Inspection) else None

    @property
    def train_rows(self) -> int:
        """Rows that would be trained on."""
        return self.facts.train_rows

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run; 0 without rows."""
        return total_steps(self.config, self.train_rows) if self.train_rows else 0


def check(config: FineTuneJobConfig, facts: Facts) -> Preflight:
    """Every check of the configuration."""
    return Preflight(config, facts, run_checks(config, facts))


def best_device(estimate: Estimate) -> DeviceEstimate:
    """The device of which the pages and the API speak first: one that fits, and of those with most memory free."""
    return max(estimate.devices, key=lambda found: (found.verdict == "fits", found.free or 0))
