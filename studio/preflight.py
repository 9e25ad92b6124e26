"""Preflight of the studio: every check of a configuration, with what the run is predicted to need."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.checks.combinations import combination_findings
from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding
from pipeline.config import FineTuneJobConfig
from pipeline.devices import devices_for
from pipeline.errors import DataProblem, UserError
from pipeline.estimates import Device, Estimate, Fit
from pipeline.preflight import Preflight, check
from studio.estimator import Estimator, Subject, is_ample
from studio.line_client import RequestFailed


class PreflightFailed(UserError):
    """The configuration has errors that would make the run fail; `findings` lists them."""

    code = "preflight_failed"

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__("\n".join(f"{finding.field}: {finding.message}" for finding in findings))


def check_quickly(subject: Subject, estimator: Estimator) -> Preflight:
    """Every check, with the estimate only if it is known already."""
    known = estimator.known(subject, _devices(subject.facts))
    return check(subject.config, replace(subject.facts, estimate=known))


def check_fully(subject: Subject, estimator: Estimator, *, devices: Sequence[Device] | None = None) -> Preflight:
    """Every check, with the estimate, and with what makes the run fit where it does not. Takes seconds.

    `devices` are those to estimate for in place of this machine's.
    """
    config, facts = subject.config, subject.facts
    asked = _devices(facts) if devices is None else list(devices)
    if not asked or isinstance(facts.data, DataProblem) or _contradicts_itself(config):
        return check(config, facts)
    try:
        estimate = estimator.estimate(subject, asked)
        fit = _fit(subject, asked, estimator, estimate)
    except RequestFailed as problem:
        return check(config, replace(facts, estimate_problem=_in_words(problem)))
    return check(config, replace(facts, estimate=estimate, fit=fit))


def check_before_start(subject: Subject, estimator: Estimator) -> Preflight:
    """Every check; the estimate is waited for unless the run fits by far."""
    if is_ample(subject.facts, _devices(subject.facts)):
        return check_quickly(subject, estimator)
    return check_fully(subject, estimator)


def find_fit(subject: Subject, estimator: Estimator, progress: Callable[[str], None] | None = None) -> Fit | None:
    """What makes the run fit the device with the most free memory; None where there is no device to fit.

    Raises:
        RequestFailed: nothing can be estimated; the text says why.
    """
    devices = [device for device in _devices(subject.facts) if device.free is not None]
    if not devices:
        return None
    return estimator.fit(subject, max(devices, key=_free), progress)


def _devices(facts: Facts) -> list[Device]:
    return devices_for(facts.gpus, facts.free_memory_bytes, facts.cpu_has_bf16)


def _fit(subject: Subject, devices: Sequence[Device], estimator: Estimator, estimate: Estimate) -> Fit | None:
    judged = [found for found in estimate.devices if found.verdict is not None]
    if not judged or any(found.verdict == "fits" for found in judged):
        return None
    roomiest = max(judged, key=lambda found: found.free or 0)
    device = next(device for device in devices if device.name == roomiest.name)
    return estimator.fit(subject, device)


def _contradicts_itself(config: FineTuneJobConfig) -> bool:
    return any(finding.severity == "error" for finding in combination_findings(config))


def _in_words(problem: RequestFailed) -> str:
    if problem.code == "unexpected_error":
        return f"the layers of this model could not be followed ({problem})."
    return str(problem)


def _free(device: Device) -> int:
    return device.free or 0
